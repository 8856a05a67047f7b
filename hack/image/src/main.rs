//! Writes an image of one static program: the same program gives the same bytes, on any machine.
//!
//! [`files`] chooses the files, [`archive`] packs them. The Containerfile takes the same files, so both ways give the
//! same contents.

mod archive;
mod elf;
mod files;
mod hot;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser};

use archive::Image;

/// An image of one static program, without a registry and without a builder
#[derive(Parser)]
enum Cli {
    /// Writes an archive that docker, podman, containerd, kind and k3s load, and prints its digest
    Write(WriteArgs),
    /// Writes the files of the image into a directory, for a builder
    Files {
        /// The program, linked statically
        #[arg(long)]
        program: PathBuf,
        /// The directory to write them into
        #[arg(long)]
        out: PathBuf,
    },
    /// Prints a linker script that places the functions of some runs next to each other
    Hot {
        /// The map that the linker wrote of the program, with mangled names
        #[arg(long)]
        map: PathBuf,
        /// The profiles that callgrind wrote of its runs
        #[arg(required = true)]
        profiles: Vec<PathBuf>,
    },
}

#[derive(Args)]
struct WriteArgs {
    /// The program, linked statically; the image runs it
    #[arg(long)]
    program: PathBuf,
    /// Name of the image when it is loaded, with its tag
    #[arg(long)]
    name: String,
    /// A description in a few words
    #[arg(long)]
    description: String,
    /// The version of the program
    #[arg(long)]
    version: String,
    /// The commit it is built from
    #[arg(long)]
    revision: String,
    /// Address of the source
    #[arg(long)]
    source: Option<String>,
    /// The time of that commit, in seconds since 1970; nothing else in the image has a time
    #[arg(long, env = "SOURCE_DATE_EPOCH")]
    created: u32,
    /// An environment variable of the program, as NAME=VALUE; repeatable
    #[arg(long = "env")]
    environment: Vec<String>,
    /// The archive to write
    #[arg(long)]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If even this fails, the exit code still reports the error.
            let _ = writeln!(io::stderr(), "image: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    match cli {
        Cli::Files { program, out } => {
            for file in files::of(&program)?.0 {
                file.write_into(&out)?;
            }
        }
        Cli::Write(args) => write(&args)?,
        Cli::Hot { map, profiles } => {
            let profiles = profiles.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            write!(io::stdout(), "{}", hot::script(&read(&map)?, &profiles)?)?;
        }
    }
    Ok(())
}

fn read(path: &PathBuf) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()))
}

fn write(args: &WriteArgs) -> Result<(), Box<dyn Error>> {
    let (files, architecture) = files::of(&args.program)?;
    let image = Image::of(&files, architecture, args)?;
    let archive = image.archive()?;
    fs::write(&args.out, &archive).map_err(|error| format!("writing {}: {error}", args.out.display()))?;
    let megabytes = f64::from(u32::try_from(archive.len())?) / 1e6;
    writeln!(io::stdout(), "{} {} {megabytes:.1} MB", args.name, image.digest())?;
    Ok(())
}
