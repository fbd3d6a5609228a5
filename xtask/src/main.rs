//! The project's own chores, as `cargo xtask CHORE`. Each one does all of its set-up itself.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "chores talk to people"
)]

mod bases;
mod bench;
mod debian;
mod demo;
mod differential;
mod fuzz;
#[cfg(test)]
mod house;
mod licences;
mod program;
mod sizes;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask CHORE

  demo               build hoist, build examples/fastapi with it, run it, show its answer, stop it
  test [FILTER]      install what the tests need, check everything, run all tests (or those named so)
  bases [--force] [--make-only]
                     make base images from Debian packages, and import them into the store
  bench [run|build|images] [--quick]
                     measure hoist against the bare system calls and against its peers
  differential [EXAMPLE...]
                     build the article's examples with hoist and with Docker, and compare the results
  fuzz [--minutes N] [--seed N] [TARGET...]
                     any bytes through the readers of files that come from strangers
  vm [SCRIPT]        run hoist in an emulated machine with cgroup v2 alone
  licences           check licences, sources and versions of the dependencies
  sizes              report how large the source files are
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (chore, rest) = match arguments.split_first() {
        Some((chore, rest)) => (chore.as_str(), rest),
        None => ("help", &[] as &[String]),
    };
    let asks_for_help = rest.iter().any(|word| word == "--help" || word == "-h");
    let outcome = match if asks_for_help { "help" } else { chore } {
        "bases" => bases::main(rest),
        "bench" => bench::main(rest),
        "demo" => demo::main(),
        "differential" => differential::main(rest),
        "fuzz" => fuzz::main(rest),
        "licences" => licences::main(),
        "sizes" => sizes::main(),
        "test" => test::main(rest),
        "vm" => vm::main(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no chore {other:?}\n\n{HELP}").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
