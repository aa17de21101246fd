//! The command line: its commands, and the arguments of all.

use super::args::GlobalArgs;
use super::commands::apply::ApplyArgs;
use super::commands::download::DownloadArgs;
use super::commands::embed::EmbedArgs;
use super::commands::encoders::EncodersArgs;
use super::commands::eval::EvalArgs;
use super::commands::pair::PairArgs;
use super::commands::report::ReportArgs;
use super::commands::train::TrainArgs;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

const STYLES: Styles =
    Styles::styled().header(AnsiColor::Green.on_default().bold()).literal(AnsiColor::Cyan.on_default().bold());

/// Pair two huge sets of embeddings one to one, and learn the map between them.
#[derive(Debug, Parser)]
#[command(name = "himacl", version, styles = STYLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One variant per command; its arguments and its code are in `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Encoders(EncodersArgs),
    Download(DownloadArgs),
    Embed(EmbedArgs),
    Pair(PairArgs),
    Train(TrainArgs),
    Eval(EvalArgs),
    Apply(ApplyArgs),
    Report(ReportArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().or(command.get_after_long_help()).map(ToString::to_string);
            assert!(help.is_some_and(|text| text.contains("Examples:")), "{} has no example", command.get_name());
        }
    }

    #[test]
    fn seeds_fit_into_toml() {
        let parse =
            |seed: &str| Cli::try_parse_from(["himacl", "pair", "--x", "a", "--y", "b", "-o", "c", "--seed", seed]);
        assert_eq!(parse("9223372036854775807").unwrap().global.seed, Some(i64::MAX as u64));
        assert!(parse("9223372036854775808").is_err());
    }
}
