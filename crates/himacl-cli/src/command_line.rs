//! The command line: its commands, and the arguments of all.

use super::args::GlobalArgs;
use super::commands::apply::ApplyArgs;
use super::commands::download::DownloadArgs;
use super::commands::embed::EmbedArgs;
use super::commands::encoders::EncodersArgs;
use super::commands::eval::EvalArgs;
use super::commands::explain::ExplainArgs;
use super::commands::explore::ExploreArgs;
use super::commands::pair::PairArgs;
use super::commands::plot::PlotArgs;
use super::commands::report::ReportArgs;
use super::commands::search::SearchArgs;
use super::commands::serve::ServeArgs;
use super::commands::train::TrainArgs;
use clap::builder::StyledStr;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;

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
    Embed(Box<EmbedArgs>),
    Pair(Box<PairArgs>),
    Train(TrainArgs),
    Eval(EvalArgs),
    Apply(ApplyArgs),
    Explain(Box<ExplainArgs>),
    Explore(Box<ExploreArgs>),
    Plot(Box<PlotArgs>),
    Search(Box<SearchArgs>),
    Serve(Box<ServeArgs>),
    Report(ReportArgs),
}

/// Parses a command line, the program's name first.
///
/// Help texts name things in back-ticks, as documentation does; a terminal shows them without.
pub(crate) fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = without_marks(Cli::command());
    let matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn without_marks(mut command: clap::Command) -> clap::Command {
    let plain = |text: Option<&StyledStr>| text.map(|text| text.ansi().to_string().replace('`', ""));
    if let Some(about) = plain(command.get_about()) {
        command = command.about(about);
    }
    if let Some(about) = plain(command.get_long_about()) {
        command = command.long_about(about);
    }
    command.mut_subcommands(without_marks).mut_args(|mut arg| {
        if let Some(help) = plain(arg.get_help()) {
            arg = arg.help(help);
        }
        if let Some(help) = plain(arg.get_long_help()) {
            arg = arg.long_help(help);
        }
        arg
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn help_is_plain_text() {
        fn check(command: &mut clap::Command) {
            let help = command.render_long_help().to_string();
            assert!(!help.contains('`'), "{help}");
            command.get_subcommands_mut().for_each(check);
        }
        let mut command = without_marks(Cli::command());
        command.build();
        check(&mut command);
        let long = command.find_subcommand_mut("embed").unwrap().render_long_help().to_string();
        assert!(
            long.contains("Embed pictures, texts or both") && long.contains("himacl encoders lists them"),
            "{long}"
        );
    }

    #[test]
    fn seeds_fit_into_toml() {
        let parse =
            |seed: &str| Cli::try_parse_from(["himacl", "pair", "--x", "a", "--y", "b", "-o", "c", "--seed", seed]);
        assert_eq!(parse("9223372036854775807").unwrap().global.seed, Some(i64::MAX as u64));
        assert!(parse("9223372036854775808").is_err());
    }
}
