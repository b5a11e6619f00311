import Glibc

/// What a test's surroundings could not do: no socket, no process, no file.
public struct TestSupportError: Error, CustomStringConvertible {
    /// What failed and what to do.
    public let description: String

    /// - Parameter description: what failed and what to do
    public init(_ description: String) {
        self.description = description
    }

    /// The failure of a system call, with `errno`.
    static func system(_ call: String) -> TestSupportError {
        TestSupportError("\(call): \(String(cString: strerror(errno)))")
    }
}
