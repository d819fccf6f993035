//! Settings of the UCX libraries that are one per process.

use super::sys;
use std::ffi::{c_char, CStr};
use std::sync::Once;

/// Variables for whoever starts a process with this crate in it, to set before it loads (Python: before the import).
/// libucs and libucm read them when they are loaded, and have no other way to be told about memory hooks. What can be
/// changed later, `prepare` changes; without them the library still works, with hooks where InfiniBand is used.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("UCX_ERROR_SIGNALS", ""),
    ("UCX_HANDLE_ERRORS", "none"),
    ("UCX_MEM_EVENTS", "n"),
    ("UCX_MEM_MMAP_HOOK_MODE", "none"),
    ("UCX_MEM_MALLOC_HOOKS", "n"),
    ("UCX_LOG_LEVEL", "fatal"),
    ("UCX_TCP_CM_REUSEADDR", "y"),
];

static PREPARED: Once = Once::new();

/// Takes UCX's hands off the process, once: no signal handlers, no words on standard output unless asked for. Options
/// of the connection manager can only be set in the environment (`ucp_config_modify` of UCX 1.13 does not reach them).
pub fn prepare() {
    PREPARED.call_once(|| {
        if std::env::var_os("UCX_TCP_CM_REUSEADDR").is_none() {
            std::env::set_var("UCX_TCP_CM_REUSEADDR", "y");
        }
        if std::env::var_os("UCX_ERROR_SIGNALS").is_none() {
            // SAFETY: no arguments; it puts back the handlers that libucs replaced when it was loaded.
            unsafe { sys::ucs_debug_disable_signals() };
        }
        if std::env::var_os("UCX_LOG_LEVEL").is_none() {
            set_global(c"LOG_LEVEL", c"fatal");
        }
    });
}

/// Whether every other process of the same user may look into this one through /proc: it has to be dumpable, and to
/// hold no capability that the other one may lack (ptrace(2), "Ptrace access mode checking"). A fast path has none.
pub fn peers_may_look() -> bool {
    // SAFETY: no pointers.
    let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) == 1 };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let permitted = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    dumpable && permitted.is_some_and(|set| set.trim().bytes().all(|digit| digit == b'0'))
}

fn set_global(name: &CStr, value: &CStr) {
    // SAFETY: both strings live through the call, which copies them. A refusal leaves the default: only words.
    let _ = unsafe { sys::ucs_global_opts_set_value(name.as_ptr(), value.as_ptr()) };
}

/// The version of the loaded library: "1.13.1".
pub fn version() -> String {
    // SAFETY: returns a constant string of the library.
    let text: *const c_char = unsafe { sys::ucp_get_version_string() };
    // SAFETY: it ends with a NUL and lives as long as the library.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn ucx_takes_no_signals_once_prepared() {
        super::prepare();
        for signal in [libc::SIGILL, libc::SIGFPE] {
            // SAFETY: a plain C struct, zero is valid; a null new action only asks for the old one.
            let action = unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, std::ptr::null(), &mut action);
                action
            };
            assert_eq!(action.sa_sigaction, libc::SIG_DFL, "signal {signal}");
        }
    }

    #[test]
    fn the_loaded_library_is_the_one_that_was_bound() {
        assert!(super::version().starts_with("1."), "{}", super::version());
    }
}
