//! Compiles `dpu_proto/fastpath/v1/fastpath.proto` to Rust, without a `protoc` on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const ROOT: &str = "../..";
    const PROTO: &str = "../../dpu_proto/fastpath/v1/fastpath.proto";
    println!("cargo:rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], [ROOT])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
