/* What build.rs binds. */
#include <ucp/api/ucp.h>
#include <ucs/config/global_opts.h>
#include <ucs/debug/debug.h>
/* Exported by libucs; the installed headers declare only its single-signal sister. */
void ucs_debug_disable_signals(void);
