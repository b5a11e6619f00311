import ArgumentParser
import Console
import Configuration

/// What every command that works for a site takes.
struct SiteOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The agent's file.", valueName: "file"))
    var config: String

    @OptionGroup var plainHTTP: PlainHTTPOptions
    @OptionGroup var store: StoreOptions
}

/// How progress is shown.
struct ProgressOptions: ParsableArguments {
    @Option(help: "How to show progress on standard error: auto shows bars on a terminal, plain lines otherwise.")
    var progress = ProgressMode.auto
}
