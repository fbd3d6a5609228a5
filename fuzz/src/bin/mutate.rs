//! `mutate TARGET SECONDS SEED CORPUS FAILURES`: the corpus and mutations of it through one target,
//! until the time is over or something does not hold.
//!
//! It needs no instrumentation, and so no nightly toolchain; what is new is told by signatures. The
//! same seed gives the same inputs in the same order.

use std::{
    collections::BTreeSet,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use hoist_fuzz::{TARGETS, Target};

/// An input that takes longer is a finding: none here is longer than `LONGEST`.
const TOO_LONG: Duration = Duration::from_secs(20);

/// The longest input, in bytes.
const LONGEST: usize = 16 * 1024;

/// Pieces that the languages are made of.
const WORDS: [&str; 44] = [
    "FROM ",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "ARG ",
    "LABEL ",
    "USER ",
    "WORKDIR ",
    "EXPOSE ",
    "VOLUME ",
    "CMD ",
    "ENTRYPOINT ",
    "HEALTHCHECK ",
    "ONBUILD ",
    "SHELL ",
    "STOPSIGNAL ",
    " AS ",
    "--from=",
    "--chown=",
    "--chmod=",
    "--link",
    "--parents",
    "--exclude=",
    "--mount=type=cache,",
    "target=",
    "--platform=",
    "<<EOF",
    "\nEOF\n",
    "\\\n",
    "${",
    "}",
    ":-",
    "%%",
    "##",
    "//",
    "[\"",
    "\"]",
    "# syntax=",
    "# escape=`\n",
    "# check=skip=all\n",
    "**/",
    "!",
    "\0",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, seconds, seed, corpus, failures] = arguments.as_slice() else {
        eprintln!("usage: mutate TARGET SECONDS SEED CORPUS FAILURES");
        return ExitCode::from(2);
    };
    let target = TARGETS.iter().find(|target| target.name == name);
    let (Some(target), Ok(seconds), Ok(seed)) = (target, seconds.parse(), seed.parse()) else {
        eprintln!("mutate: there is no target {name}, or {seconds} or {seed} is no number");
        return ExitCode::from(2);
    };
    let mut fuzzer = Fuzzer {
        target,
        random: Random(seed),
        inputs: Vec::new(),
        seen: BTreeSet::new(),
        failures: PathBuf::from(failures),
    };
    match fuzzer.all(Path::new(corpus), Duration::from_secs(seconds)) {
        Ok(count) => {
            let kept = fuzzer.inputs.len();
            println!(
                "{name}: seed {seed}, {count} inputs, {kept} of them of different kinds: all of it held"
            );
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{name}: seed {seed}: {message}");
            ExitCode::FAILURE
        }
    }
}

struct Fuzzer<'a> {
    target: &'a Target,
    random: Random,
    /// Inputs that are worth mutating.
    inputs: Vec<Vec<u8>>,
    seen: BTreeSet<u64>,
    failures: PathBuf,
}

impl Fuzzer<'_> {
    /// The corpus, then mutations until `time` is over; how many inputs that were.
    fn all(&mut self, corpus: &Path, time: Duration) -> Result<u64, String> {
        let begun = Instant::now();
        let mut count = 0;
        let unreadable = |error| format!("cannot read {}: {error}", corpus.display());
        let entries = fs::read_dir(corpus).map_err(unreadable)?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        for path in paths {
            let input = fs::read(&path).map_err(unreadable)?;
            self.one(&input)?;
            self.inputs.push(input);
            count += 1;
        }
        if self.inputs.is_empty() {
            return Err(format!("there is nothing in {}", corpus.display()));
        }
        while begun.elapsed() < time {
            let input = self.mutation();
            if self.one(&input)? {
                self.inputs.push(input);
            }
            count += 1;
        }
        Ok(count)
    }

    /// Run one input; true when it was of a new kind. One that fails is kept.
    fn one(&mut self, input: &[u8]) -> Result<bool, String> {
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        let took = begun.elapsed();
        let problem = match outcome {
            Ok(signature) if took < TOO_LONG => return Ok(self.seen.insert(signature)),
            Ok(_) => format!("{} bytes took {} s", input.len(), took.as_secs()),
            Err(_) => "something did not hold, see above".to_owned(),
        };
        fs::create_dir_all(&self.failures).map_err(|error| error.to_string())?;
        let path = self
            .failures
            .join(format!("{}-{:016x}", self.target.name, hash(input)));
        fs::write(&path, input).map_err(|error| error.to_string())?;
        Err(format!("{problem}; the input is {}", path.display()))
    }

    /// A known input, changed a few times.
    fn mutation(&mut self) -> Vec<u8> {
        let mut input = self.pick();
        for _ in 0..=self.random.below(6) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn pick(&mut self) -> Vec<u8> {
        let at = self.random.below(self.inputs.len());
        self.inputs[at].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.below(input.len() + 1);
        let end = (at + self.random.below(24)).min(input.len());
        match self.random.below(8) {
            0 => drop(input.drain(at..end)),
            1 => {
                let piece = input[at..end].to_vec();
                let to = self.random.below(input.len() + 1);
                drop(input.splice(to..to, piece));
            }
            2 | 3 => {
                let word = WORDS[self.random.below(WORDS.len())];
                drop(input.splice(at..end.min(at + self.random.below(4)), word.bytes()));
            }
            4 => {
                let other = self.pick();
                let from = self.random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            5 => {
                let byte = self.random.next().to_le_bytes()[0];
                input.insert(at, byte);
            }
            6 if at < input.len() => {
                let bit = self.random.below(8);
                input[at] ^= 1 << bit;
            }
            _ => {
                let line = input[..at]
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(0, |at| at + 1);
                let next = input[at..].iter().position(|byte| *byte == b'\n');
                let next = next.map_or(input.len(), |found| at + found + 1);
                let line = input[line..next].to_vec();
                let to = self.random.below(input.len() + 1);
                drop(input.splice(to..to, line));
            }
        }
    }
}

/// xorshift64* (Vigna, 2016): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // Zero would stay zero.
        let mut state = self.0.max(1);
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0 = state;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = limit.max(1) as u64;
        usize::try_from((self.next() >> 11) % limit).unwrap_or(0)
    }
}

/// FNV-1a, for the names of files.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
