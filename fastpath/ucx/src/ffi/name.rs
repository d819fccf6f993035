//! Reads what `ucp_ep_print_info` prints.

/// "posix+cma" from lines like `#   lane[0]:  1:posix/memory.0 md[1] -> md[1]/posix/sysdev[255] am am_bw#0`. Lanes of
/// the connection manager do not carry frames and are left out; memory is no device worth naming.
pub fn transports(info: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for line in info.lines() {
        let Some((_, rest)) = line.split_once("lane[").and_then(|(_, rest)| rest.split_once("]:")) else {
            continue;
        };
        let Some(name) = rest.split_whitespace().next().and_then(lane_name) else { continue };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join("+")
}

/// "1:tcp/lo.0" -> "tcp/lo".
fn lane_name(word: &str) -> Option<&str> {
    let (index, name) = word.split_once(':')?;
    index.parse::<u32>().ok()?;
    let name = name.rsplit_once('.').map_or(name, |(name, _)| name);
    Some(name.strip_suffix("/memory").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::transports;

    #[test]
    fn transports_are_read_from_what_ucx_prints() {
        let table = [
            ("", ""),
            ("#   lane[0]:  1:posix/memory.0 md[1] -> x am\n#   lane[1]:  2:cma/memory.0 md[2]", "posix+cma"),
            ("#   lane[0]:  0:tcp/lo.0 md[0] -> x\n#   lane[1]:  0:tcp/lo.0 md[0] -> x", "tcp/lo"),
            ("#   lane[0]:  0:rc_verbs/rxe0:1.0 md[0]\n#   lane[1]: cm rdmacm", "rc_verbs/rxe0:1"),
        ];
        for (printed, name) in table {
            assert_eq!(transports(printed), name);
        }
    }
}
