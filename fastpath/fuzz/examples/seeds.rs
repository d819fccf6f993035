//! Writes each target's seeds into FOLDER/TARGET, one file each: `seeds FOLDER`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "corpus".to_owned()));
    for target in dpu_fuzz::TARGETS {
        let own = folder.join(target.name);
        std::fs::create_dir_all(&own)?;
        for (index, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(own.join(format!("seed-{index:03}")), seed)?;
        }
    }
    Ok(())
}
