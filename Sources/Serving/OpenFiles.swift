import Glibc

/// How many files, connections among them, the process may have open at once.
public enum OpenFiles {
    /// More are not asked for: programs that the process starts inherit the limit, and some go through every descriptor up
    /// to it.
    public static let most = 65_536

    /// Raises the limit as far as the system allows, at most to `most`: from the soft to the hard one (getrlimit(2)). A
    /// shell or a container often begins with 1024, which the nodes of one site can use up.
    ///
    /// - Returns: the limit from now on
    @discardableResult
    public static func raiseLimit() -> Int {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        // What the system does not tell is taken for the least that is usual.
        guard getrlimit(resource, &limit) == 0 else { return 1024 }
        let wanted = min(limit.rlim_max, rlim_t(most))
        if limit.rlim_cur < wanted {
            var raised = limit
            raised.rlim_cur = wanted
            if setrlimit(resource, &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }
}
