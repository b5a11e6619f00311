public import OCI

/// What a token allows: `TYPE:NAME:ACTION[,ACTION…]` (distribution, docs/content/spec/auth/scope.md).
public struct TokenScope: Hashable, Sendable, CustomStringConvertible {
    /// `TYPE:NAME`, such as `repository:platform/api`.
    public let resource: String
    /// The actions, such as `pull` and `push`.
    public let actions: Set<String>

    /// Reading a repository.
    public static func pull(_ repository: Repository) -> TokenScope {
        TokenScope(resource: "repository:\(repository)", actions: ["pull"])
    }

    /// Writing to a repository.
    public static func push(_ repository: Repository) -> TokenScope {
        TokenScope(resource: "repository:\(repository)", actions: ["pull", "push"])
    }

    /// Deleting in a repository.
    ///
    /// distribution wants `pull` and `delete`; Quay grants nothing to a request that says `delete`; both know `*`
    /// (containers/image, docker/docker_image_dest.go and docker_image.go on deletion).
    public static func delete(_ repository: Repository) -> TokenScope {
        TokenScope(resource: "repository:\(repository)", actions: ["*"])
    }

    init(resource: String, actions: Set<String>) {
        self.resource = resource
        self.actions = actions
    }

    /// Reads the space-separated scopes of a challenge; the name may hold colons, and malformed ones are left out.
    static func parse(_ text: String) -> [TokenScope] {
        text.split(separator: " ").prefix(16).compactMap { scope in
            guard let first = scope.firstIndex(of: ":"), let last = scope.lastIndex(of: ":"), first < last else {
                return nil
            }
            let actions = scope[scope.index(after: last)...].split(separator: ",").map(String.init)
            return actions.isEmpty ? nil : TokenScope(resource: String(scope[..<last]), actions: Set(actions))
        }
    }

    /// The repository, where the resource is one.
    var repository: Repository? {
        resource.hasPrefix("repository:") ? try? Repository(String(resource.dropFirst("repository:".count))) : nil
    }

    /// Whether a token for this scope also serves another.
    func covers(_ other: TokenScope) -> Bool {
        resource == other.resource && (actions.contains("*") || actions.isSuperset(of: other.actions))
    }

    /// `TYPE:NAME:ACTION[,ACTION…]`, the actions sorted.
    public var description: String { "\(resource):\(actions.sorted().joined(separator: ","))" }
}
