/// Where a source's repositories live at a destination: prefix → prefix, and the same name without a rule.
///
/// Of several rules that apply, the one with the longest source prefix wins. A prefix ends where a component ends:
/// `platform` applies to `platform` and `platform/api`, not to `platforms/api`. The empty prefix applies to every
/// repository.
public struct RepositoryMapping: Hashable, Sendable {
    /// One rule: a repository below `source` is found below `destination`.
    public struct Rule: Hashable, Sendable {
        /// The prefix at the source: whole components, without slashes at its ends; empty for all repositories.
        public let source: String
        /// What takes its place at the destination; empty to drop it.
        public let destination: String

        /// - Parameters:
        ///   - source: whole components of the name at the source; empty for all repositories
        ///   - destination: what takes its place; empty to drop it
        /// - Throws: `OCIError.invalidRepository` for a prefix that no repository's name can start with.
        public init(source: String, destination: String) throws(OCIError) {
            for prefix in [source, destination] where !prefix.isEmpty { _ = try Repository(prefix) }
            self.source = source
            self.destination = destination
        }

        /// What follows the prefix in a repository's name; `nil` where the rule does not apply.
        func remainder(of repository: Repository) -> Substring? {
            if source.isEmpty { return repository.name[...] }
            guard repository.name.hasPrefix(source) else { return nil }
            let rest = repository.name.dropFirst(source.count)
            if rest.isEmpty { return rest }
            return rest.first == "/" ? rest.dropFirst() : nil
        }
    }

    /// The rules, longest source prefix first.
    public let rules: [Rule]

    /// - Parameter rules: in any order; of two with the same source prefix, the first applies
    public init(_ rules: [Rule] = []) {
        // Swift's sort is stable in practice, not by contract: the offset settles equal lengths.
        self.rules = rules.enumerated()
            .sorted { ($1.element.source.count, $0.offset) < ($0.element.source.count, $1.offset) }
            .map(\.element)
    }

    /// A repository's name at the destination.
    ///
    /// - Throws: `OCIError.invalidRepository` where nothing is left of the name, or more than 255 characters result.
    public func destination(of repository: Repository) throws(OCIError) -> Repository {
        for rule in rules {
            guard let remainder = rule.remainder(of: repository) else { continue }
            let parts = [rule.destination, String(remainder)].filter { !$0.isEmpty }
            guard !parts.isEmpty else {
                throw OCIError(
                    .invalidRepository,
                    "the mapping of '\(rule.source)' to '' leaves no name for the repository '\(repository)'")
            }
            return try Repository(parts.joined(separator: "/"))
        }
        return repository
    }
}
