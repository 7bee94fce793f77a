# syntax=docker/dockerfile:1
# Two stages: the first compiles, the second holds the program, the certificates it trusts, and nothing else.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY conformance/Cargo.toml conformance/
COPY src src
COPY conformance/src conformance/src
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package lineartime \
 && install -D target/release/lineartime /out/lineartime \
 && install -d -m 0700 /out/data

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 8008 --home-dir /data --shell /usr/sbin/nologin lineartime
COPY --from=build /out/lineartime /usr/local/bin/lineartime
COPY --from=build --chown=8008:8008 /out/data /data
USER 8008:8008
# The server listens on every address of the container; publish the port where you want it, or put a TLS proxy in front.
ENV LINEARTIME_SERVER__LISTEN=0.0.0.0:8008 \
    LINEARTIME_STORAGE__PATH=/data
VOLUME /data
EXPOSE 8008
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["lineartime", "status", "--ready"]
ENTRYPOINT ["lineartime"]
