//! The program. All of it is the library, so that tests start the real thing.

fn main() -> std::process::ExitCode {
    lineartime::cli::run()
}
