import ArgumentParser
import Configuration

/// What every command that works for a site takes.
struct SiteOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The agent's file.", valueName: "file"))
    var config: String

    @OptionGroup var hosts: HostOptions
}

/// Which hosts are spoken to without TLS.
struct HostOptions: ParsableArguments {
    @Option(
        name: .customLong("plain-http"),
        help: ArgumentHelp("Speak plain HTTP to this host; may be repeated.", valueName: "host:port"))
    var plainHTTP: [String] = []
}

/// How progress is shown.
struct ProgressOptions: ParsableArguments {
    @Option(help: "How to show progress on standard error: auto shows bars on a terminal, plain lines otherwise.")
    var progress = ProgressMode.auto
}
