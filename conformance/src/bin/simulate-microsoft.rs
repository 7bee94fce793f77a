//! Serves the simulator of Microsoft Graph until it is stopped: `simulate-microsoft [ADDRESS]`.

use anyhow::Result;
use conformance::microsoft::Simulator;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever started it reads the address there")]
async fn main() -> Result<()> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let simulator = Simulator::start(&listen, "ada@example.com").await?;
    println!("{}", simulator.address());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
