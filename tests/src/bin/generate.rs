//! Writes the generated files anew.

fn main() -> std::io::Result<()> {
    for (path, content) in amend_tests::generated::files() {
        let path = amend_tests::harness::workspace().join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, content)?;
    }
    Ok(())
}
