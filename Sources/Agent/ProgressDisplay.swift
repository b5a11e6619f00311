import ArgumentParser
import Glibc
import Transfer

/// How a pass's progress is shown.
enum ProgressMode: String, ExpressibleByArgument, CaseIterable {
    /// Bars on a terminal, plain lines otherwise.
    case auto
    /// Lines that are drawn over and over.
    case bars
    /// One line now and then.
    case plain
    /// JSON lines on standard output.
    case json
}

/// Draws a pass's figures on standard error while it runs: the driver around `ProgressRenderer`.
struct ProgressDisplay: Sendable {
    /// How often bars are drawn.
    static let frame = Duration.milliseconds(100)
    /// How often a plain line is written, at most.
    static let line = Duration.seconds(5)

    let bars: Bool
    /// Where the text goes.
    let write: @Sendable (String) -> Void
    /// The terminal's columns now.
    let width: @Sendable () -> Int

    /// Shows progress on standard error.
    init(_ mode: ProgressMode) {
        bars = mode == .bars || mode == .auto && Terminal.isInteractive
        write = Terminal.write
        width = Terminal.width
    }

    init(bars: Bool, write: @escaping @Sendable (String) -> Void, width: @escaping @Sendable () -> Int) {
        self.bars = bars
        self.write = write
        self.width = width
    }

    /// Runs `body`, and shows the board's figures meanwhile. Whatever its end, the terminal is left as it was.
    func showing<Result: Sendable>(
        _ board: ProgressBoard, during body: () async throws -> Result
    ) async rethrows -> Result {
        // Cancelled and awaited when this scope ends.
        async let _: Void = bars ? drawBars(board) : writeLines(board)
        return try await body()
    }

    private func drawBars(_ board: ProgressBoard) async {
        var screen = BarScreen()
        write(BarScreen.hideCursor)
        for await progress in board.snapshots(every: Self.frame) {
            write(screen.draw(ProgressRenderer.bars(progress, width: width() - 1)))
        }
        write(screen.clear() + BarScreen.showCursor)
    }

    private func writeLines(_ board: ProgressBoard) async {
        // A pass that is done before the first line is due needs none.
        var last = ProgressRenderer.totals(board.snapshot)
        for await progress in board.snapshots(every: Self.line) {
            let line = ProgressRenderer.totals(progress)
            if line != last { write(line + "\n") }
            last = line
        }
    }
}

/// Lines that are drawn in the place of the lines before: a pure value that knows how many are there.
struct BarScreen {
    static let hideCursor = "\u{1B}[?25l"
    static let showCursor = "\u{1B}[?25h"
    private var height = 0

    /// The text that replaces what was drawn last by these lines.
    mutating func draw(_ lines: [String]) -> String {
        let text = clear() + lines.map { "\($0)\n" }.joined()
        height = lines.count
        return text
    }

    /// The text that takes away what was drawn last.
    mutating func clear() -> String {
        defer { height = 0 }
        // Up to the first line, and from there to the end of the screen.
        return height > 0 ? "\u{1B}[\(height)A\r\u{1B}[J" : ""
    }
}

/// Standard error, as a person may be watching it.
enum Terminal {
    /// Whether standard error is a terminal that can move its cursor.
    static var isInteractive: Bool {
        guard isatty(STDERR_FILENO) == 1 else { return false }
        return getenv("TERM").map { String(cString: $0) } != "dumb"
    }

    /// The columns; 80 where nobody knows.
    static let width: @Sendable () -> Int = {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// Writes text to standard error, all of it at once, so that lines of several threads do not mix. What cannot be
    /// written is dropped: there is nowhere left to say so.
    static let write: @Sendable (String) -> Void = { write($0, to: STDERR_FILENO) }

    /// Writes text to standard output, at once and all of it, also where that is a pipe.
    static let writeOutput: @Sendable (String) -> Void = { write($0, to: STDOUT_FILENO) }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }
}

extension Duration {
    /// Seconds with their fraction.
    var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
