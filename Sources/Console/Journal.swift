import Glibc

/// systemd's journal, where it takes what this process writes.
public enum Journal {
    /// Whether standard error goes to the journal (systemd.exec(5), `JOURNAL_STREAM`): then each line may begin with its
    /// level (sd-daemon(3)), which the journal takes off.
    ///
    /// - Parameter environment: the process's environment
    public static func takesStandardError(environment: [String: String]) -> Bool {
        var status = stat()
        guard let stream = environment["JOURNAL_STREAM"], fstat(STDERR_FILENO, &status) == 0 else { return false }
        // Inherited by children whose standard error goes elsewhere, too: device and inode tell.
        return stream == "\(status.st_dev):\(status.st_ino)"
    }
}
