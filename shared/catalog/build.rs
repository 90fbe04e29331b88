//! The files below `fixes` are part of the program: it is built anew when one comes or goes.

fn main() {
    println!("cargo::rerun-if-changed=fixes");
}
