//! The `rcptd` program; everything is in the library's `cli`.
fn main() -> std::process::ExitCode {
    rcptd::cli::main()
}
