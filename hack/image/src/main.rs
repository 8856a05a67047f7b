//! Writes an image of one static program: the same bytes for the same program, whoever writes it and where.
//!
//! [`files`] are what stands in it, [`archive`] how they are packed. The Containerfile takes the same files, so that both
//! ways lead to the same contents.

mod archive;
mod elf;
mod files;

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
    /// Lays the files of the image into a directory, for a builder to take them from
    Files {
        /// The program, linked statically
        #[arg(long)]
        program: PathBuf,
        /// The directory to lay them into
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Args)]
struct WriteArgs {
    /// The program, linked statically; the image runs it
    #[arg(long)]
    program: PathBuf,
    /// What the image is called when it is loaded, with its tag
    #[arg(long)]
    name: String,
    /// Says in a few words what it is
    #[arg(long)]
    description: String,
    /// The version of the program
    #[arg(long)]
    version: String,
    /// The commit it is built from
    #[arg(long)]
    revision: String,
    /// Where its source is to be found
    #[arg(long)]
    source: Option<String>,
    /// The time of that commit, in seconds since 1970; nothing else in the image has a time
    #[arg(long, env = "SOURCE_DATE_EPOCH")]
    created: u32,
    /// A variable that the program finds set, as NAME=VALUE; repeatable
    #[arg(long = "env")]
    environment: Vec<String>,
    /// The archive to write
    #[arg(long)]
    out: PathBuf,
}

fn main() -> ExitCode {
    match obey(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even this can't be written, the exit code is what is left to say.
            let _ = writeln!(io::stderr(), "image: {error}");
            ExitCode::FAILURE
        }
    }
}

fn obey(cli: Cli) -> Result<(), Box<dyn Error>> {
    match cli {
        Cli::Files { program, out } => {
            for file in files::of(&program)?.0 {
                file.lay_into(&out)?;
            }
        }
        Cli::Write(args) => write(&args)?,
    }
    Ok(())
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
