import ArgumentParser
import Board
import Console
import FoundationEssentials
import Glibc
import Readiness

/// The board on a terminal.
struct WatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Watch the fleet on the whole terminal, as it changes.",
        discussion: """
            Shows every environment with its lists, and the sites that are not ready: why, how far they are and until \
            when. Keys: arrows or j and k scroll, n and p go to the next environment and back, a shows all sites, d fewer \
            details, ? all keys, q quits. Where nothing can be drawn, as in a pipe, gates are printed line by line \
            whenever they change. It records nothing and is no gate: use check for that.
            """)

    @Argument(
        help: ArgumentHelp("Only this environment, or only the lists of this name.", valueName: "environment|list"))
    var name: String?

    @Option(
        help: ArgumentHelp("How long to pause between two looks (5s unless said).", valueName: "time"),
        transform: Duration.init(argument:))
    var interval = Duration.seconds(5)

    @OptionGroup var colour: ColourOptions
    @OptionGroup var fleet: FleetOptions

    func validate() throws {
        guard interval >= .seconds(1) else { throw ValidationError("--interval is at least 1s") }
    }

    func run() async throws {
        let live = try fleet.watch()
        let name = name
        let look: @Sendable () async throws -> Board = {
            let (fleet, central) = try await live.current()
            let board = Board(try await FleetStanding(of: fleet, in: central, at: .current))
            guard let name else { return board }
            guard let part = board.only(name) else {
                let names = board.environments.flatMap { [$0.name.text] + $0.lists.map(\.name.text) }
                var seen: Set<String> = []
                throw UsageError(
                    "there is neither an environment nor a list '\(name)': there are"
                        + " \(names.filter { seen.insert($0).inserted }.prefix(20).joined(separator: ", "))")
            }
            return part
        }
        // What is wrong from the beginning is said, and nothing is drawn.
        let first = try await look()
        guard FullScreen.isPossible else { return try await printChanges(first, look) }
        let size = FullScreen.size
        var screen = BoardScreen(
            scope: name ?? "", size: .init(columns: size.columns, rows: size.rows),
            isUnicode: FullScreen.isUnicode(ProcessInfo.processInfo.environment))
        screen.show(first)
        let end = await WatchTerminal(interval: interval, colours: colour.isOn, look: look).run(&screen)
        if let end {
            // As if it had not been caught: whoever sent it sees that it ended the process. Not raised: this thread, as all
            // that run tasks, blocks signals.
            signal(end, SIG_DFL)
            kill(getpid(), end)
            try await Task.sleep(for: .seconds(10))
        }
    }

    /// A line for each gate whose answer has changed, until a signal ends the process.
    private func printChanges(_ first: Board, _ look: () async throws -> Board) async throws {
        var said: Set<String> = []
        var next: Result<Board, any Error> = .success(first)
        while true {
            let time: Timestamp
            let lines: [String]
            switch next {
            case .success(let board): (time, lines) = (board.decidedAt, board.plainLines)
            case .failure(let error): (time, lines) = (.current, ["not known: \(error)"])
            }
            for line in lines where !said.contains(line) { Terminal.say("\(time) \(line)".printable) }
            said = Set(lines)
            try await Task.sleep(for: interval)
            do {
                next = .success(try await look())
            } catch {
                next = .failure(error)
            }
        }
    }
}
