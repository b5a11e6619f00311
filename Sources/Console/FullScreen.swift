import FoundationEssentials
import Glibc

/// A terminal whose whole screen is drawn on: another screen than the one that the shell writes to, without a cursor, and
/// with keys that arrive as they are pressed.
///
/// It holds nothing but what the terminal was like before. Whoever enters leaves, whatever happens in between.
public struct FullScreen {
    private var before = termios()
    private var isEntered = false

    /// A terminal that is as it was.
    public init() {}

    /// Whether standard input and output are a terminal that a cursor can be moved on.
    public static var isPossible: Bool {
        isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1
            && !["", "dumb"].contains(ProcessInfo.processInfo.environment["TERM"] ?? "")
    }

    /// Whether the locale says that signs beyond ASCII are shown, in the order in which POSIX looks (XBD 8.2).
    public static func isUnicode(_ environment: [String: String]) -> Bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty } ?? ""
        return locale.lowercased().replacing("-", with: "").contains("utf8")
    }

    /// The terminal's size in characters; zeros where it does not say.
    public static var size: (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 else { return (0, 0) }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Turns to the other screen. Keys are not shown, not gathered to lines, and no signals.
    public mutating func enter() {
        if !isEntered {
            guard tcgetattr(STDIN_FILENO, &before) == 0 else { return }
        }
        isEntered = true
        var raw = before
        raw.c_lflag &= ~UInt32(ECHO | ICANON | ISIG | IEXTEN)
        raw.c_iflag &= ~UInt32(IXON | ICRNL | INLCR)
        // What was pressed before is pressed still.
        _ = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw)
        Terminal.draw("\u{1B}[?1049h\u{1B}[?25l\u{1B}[2J")
    }

    /// Gives the terminal back as it was, with what was on its screen.
    public mutating func leave() {
        guard isEntered else { return }
        isEntered = false
        Terminal.draw("\u{1B}[0m\u{1B}[?25h\u{1B}[?1049l")
        _ = tcsetattr(STDIN_FILENO, TCSADRAIN, &before)
    }
}
