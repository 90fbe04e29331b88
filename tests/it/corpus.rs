//! Inputs that fuzzing found worth keeping, and the seeds it starts from: none may panic.

use amend_tests::{fuzz::TARGETS, harness::workspace};

#[test]
fn no_kept_input_brings_a_parser_down() {
    for (name, target) in TARGETS {
        let folder = workspace().join("tests/fuzz/corpus").join(name);
        let mut replayed = 0;
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a file");
            // The name of the input is in the output if it panics.
            println!("{}", path.display());
            target(&bytes);
            replayed += 1;
        }
        assert!(replayed >= 5, "{name}: only {replayed} inputs");
    }
}
