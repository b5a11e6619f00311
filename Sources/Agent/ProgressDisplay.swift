import ArgumentParser
import Console
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
        write = { Terminal.write($0) }
        width = { Terminal.width }
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

extension Duration {
    /// Seconds with their fraction.
    var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
