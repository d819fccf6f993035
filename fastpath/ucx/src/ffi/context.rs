//! A UCX context: which transports there are.

use super::status::Status;
use super::{library, sys};
use std::ffi::{CStr, CString};
use std::ptr;

/// An option of UCX.
#[derive(Clone, Copy)]
pub struct UcxOption {
    /// The operator's variable for it, which wins.
    pub variable: &'static str,
    /// Its name for `ucp_config_modify`: without "UCX_", and for an option of a component (UCX 1.13) without the
    /// component too.
    pub name: &'static str,
    /// Its value.
    pub value: &'static str,
}

/// Owns a `ucp_context_h`.
pub struct Context {
    pub(super) handle: sys::ucp_context_h,
}

// SAFETY: the handle is used to create workers and to clean up; the context is made with mt_workers_shared, so UCX
// guards what its workers share, and the clean-up comes after the last reference.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// A context with these options. One that the operator set in the environment is left as it is; one that this UCX
    /// does not know is ignored.
    ///
    /// # Errors
    /// UCX's own: most often no such device or transport.
    pub fn new(options: &[UcxOption]) -> Result<Self, Status> {
        library::prepare();
        let config = Config::read()?;
        for option in options {
            if std::env::var_os(option.variable).is_none() {
                config.modify(option.name, option.value);
            }
        }
        let params = sys::ucp_params_t {
            field_mask: u64::from(sys::UCP_PARAM_FIELD_FEATURES | sys::UCP_PARAM_FIELD_MT_WORKERS_SHARED),
            mt_workers_shared: 1,
            features: u64::from(sys::UCP_FEATURE_AM | sys::UCP_FEATURE_WAKEUP),
            // SAFETY: a plain C struct; zero is a valid value of each field, and the mask says which are read.
            ..unsafe { std::mem::zeroed() }
        };
        let mut handle = ptr::null_mut();
        // SAFETY: all three pointers are valid through the call; the version is the one of the bound headers.
        let status = unsafe {
            sys::ucp_init_version(sys::UCP_API_MAJOR, sys::UCP_API_MINOR, &params, config.0, &mut handle)
        };
        Status(status).into_result()?;
        Ok(Self { handle })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by ucp_init_version and not cleaned up before; every worker holds the context by reference
        // count, so all of them are destroyed.
        unsafe { sys::ucp_cleanup(self.handle) };
    }
}

struct Config(*mut sys::ucp_config_t);

impl Config {
    fn read() -> Result<Self, Status> {
        let mut config = ptr::null_mut();
        // SAFETY: null prefix and file name mean "UCX_" and no file; `config` is valid for the result.
        Status(unsafe { sys::ucp_config_read(ptr::null(), ptr::null(), &mut config) }).into_result()?;
        Ok(Self(config))
    }

    fn modify(&self, name: &str, value: &str) {
        let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else { return };
        let (name, value): (&CStr, &CStr) = (&name, &value);
        // SAFETY: the configuration is alive and both strings live through the call, which copies them. A refusal
        // leaves the default.
        let _ = unsafe { sys::ucp_config_modify(self.0, name.as_ptr(), value.as_ptr()) };
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: read by ucp_config_read and released once.
        unsafe { sys::ucp_config_release(self.0) };
    }
}
