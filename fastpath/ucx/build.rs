//! Generates the raw UCX bindings from the installed headers (Debian: libucx-dev, libclang-dev).

use std::path::PathBuf;

/// What is bound: the part of libucp that `ffi` uses, and three calls of libucs that no option of libucp replaces.
const FUNCTIONS: &str = "ucp_(config_.*|init_version|cleanup|get_version_string|worker_(create|destroy|progress|arm|\
                         set_am_recv_handler)|listener_(create|destroy|query|reject)|\
                         ep_(create|close_nbx|print_info)|am_(send|recv_data)_nbx|request_free)|ucs_status_string|\
                         ucs_debug_disable_signals?|ucs_global_opts_set_value";

fn main() {
    println!("cargo:rustc-link-lib=ucp");
    println!("cargo:rustc-link-lib=ucs");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/ffi/ucx.h");
    let Some(out) = std::env::var_os("OUT_DIR") else { fail("OUT_DIR is not set") };
    let bindings = bindgen::Builder::default()
        .header("src/ffi/ucx.h")
        .allowlist_function(FUNCTIONS)
        .allowlist_var("UCP_API_(MAJOR|MINOR)")
        .allowlist_type(
            "ucp_.*_(field|flags|mode)|ucp_feature|ucp_wakeup_event_types|ucp_op_attr_t|ucp_am_recv_attr_t",
        )
        .allowlist_type("ucp_send_am_flags|ucp_am_handler_param_field|ucs_thread_mode_t|ucs_status_t")
        .blocklist_type("sockaddr.*|FILE|_IO_FILE|socklen_t")
        .raw_line("use libc::{sockaddr, sockaddr_storage, socklen_t, FILE};")
        .prepend_enum_name(false)
        .layout_tests(false)
        .generate_comments(false)
        .generate();
    let bindings =
        bindings.unwrap_or_else(|error| fail(&format!("libucx-dev or libclang is missing: {error}")));
    if let Err(error) = bindings.write_to_file(PathBuf::from(out).join("ucx.rs")) {
        fail(&error.to_string());
    }
}

fn fail(why: &str) -> ! {
    eprintln!("dpu-ucx: no UCX bindings: {why}");
    std::process::exit(1)
}
