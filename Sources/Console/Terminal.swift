import Glibc

/// The process's output, and who may be watching it.
public enum Terminal {
    /// Whether standard error is a terminal that can move its cursor.
    public static var isInteractive: Bool {
        guard isatty(STDERR_FILENO) == 1 else { return false }
        return getenv("TERM").map { String(cString: $0) } != "dumb"
    }

    /// The columns of standard error's terminal; 80 where nobody knows.
    public static var width: Int {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// Writes a line to standard output.
    public static func say(_ text: String) { write(text + "\n", to: STDOUT_FILENO) }

    /// Writes text to standard output, as it is.
    public static func draw(_ text: String) { write(text, to: STDOUT_FILENO) }

    /// Writes text to standard error, as it is.
    public static func write(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Writes `PROGRAM: MESSAGE` as one line to standard error; the program's name is the one it was started by.
    public static func complain(_ message: String) {
        let program = CommandLine.arguments.first?.split(separator: "/").last ?? "rollcall"
        let line = message.split(whereSeparator: \.isNewline).joined(separator: " ")
        write("\(program): \(line.printable)\n", to: STDERR_FILENO)
    }

    /// All of it at once, so that lines of several threads do not mix. What cannot be written is dropped: there is
    /// nowhere left to say so, and a reader that went away has read enough.
    private static func write(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}

extension String {
    /// The text with a `?` for each control character: what agents and registries write must not steer a terminal.
    public var printable: String {
        var text = ""
        for scalar in unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value)
            text.unicodeScalars.append(isControl ? "?" : scalar)
        }
        return text
    }
}
