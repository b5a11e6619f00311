import FoundationEssentials
import HTTPTypes

/// Who may do what. Pulling is open to all, or to the users; pushing and deleting are closed unless said.
struct AccessControl: Sendable {
    /// What a request asks for.
    enum Right {
        case pull, push, delete
    }

    let configuration: RegistryConfiguration
    /// `nil` where there are no users.
    let passwords: PasswordCheck?

    /// Whether anybody may push.
    var allowsPush: Bool { configuration.pushers != .nobody }

    /// Lets a request pass.
    ///
    /// - Returns: who asks; `nil` where nobody was asked
    /// - Throws: `.unauthorized` with a challenge, `.denied`, `.unsupported` where nobody may, `.tooManyRequests`
    func admit(_ request: RegistryRequest, to right: Right) async throws(RegistryProblem) -> String? {
        let user = try await authenticated(request)
        if user == nil, passwords != nil, !isAnonymous(right) { throw Self.challenge("log in to this registry") }
        switch right {
        case .pull: break
        case .push:
            try requirePusher(user)
        case .delete:
            guard configuration.allowsDelete, allowsPush else {
                throw RegistryProblem(.unsupported, "this registry does not delete over the network")
            }
            try requirePusher(user)
        }
        return user
    }

    private func isAnonymous(_ right: Right) -> Bool {
        right == .pull ? configuration.allowsAnonymousPull : configuration.pushers == .anyone
    }

    private func requirePusher(_ user: String?) throws(RegistryProblem) {
        switch configuration.pushers {
        case .anyone: return
        case .nobody:
            throw RegistryProblem(
                .unsupported, "this registry is read-only: what it serves is brought by its rollcall-agent")
        case .users(let names):
            guard let user, names.contains(user) else {
                throw RegistryProblem(.denied, "this user may pull from this registry, and not push")
            }
        }
    }

    /// The user whose password came with the request; `nil` where none came, or nobody has one.
    private func authenticated(_ request: RegistryRequest) async throws(RegistryProblem) -> String? {
        guard let passwords, let header = request.headers[.authorization] else { return nil }
        let credentials = Self.basic(header)
        // What skopeo, podman and CRI-O without credentials answer a challenge with: nobody's name and no password
        // (containers/image, docker/docker_client.go, setupRequestAuth).
        if let credentials, credentials.user.isEmpty, credentials.password.isEmpty { return nil }
        guard let credentials, try await passwords.accepts(credentials) else {
            throw Self.challenge("the user's name or password is wrong")
        }
        return credentials.user
    }

    /// What `/v2/` tells those who need not log in: that they can (RFC 9110 section 11.6.1 allows it with any status).
    ///
    /// skopeo, podman and CRI-O look there, and nowhere else, for whether credentials are wanted at all; without a
    /// challenge they push without any. A 401 would keep those from pulling who take a challenge for a demand: docker,
    /// and distribution as a cache.
    func invitation(to user: String?) -> HTTPFields {
        passwords != nil && user == nil ? [.wwwAuthenticate: Self.scheme] : [:]
    }

    private static let scheme = "Basic realm=\"rollcall\", charset=\"UTF-8\""

    /// The user's name and password of a `Basic` header (RFC 7617).
    static func basic(_ header: String) -> PasswordCheck.Credentials? {
        let parts = header.split(separator: " ", maxSplits: 1)
        guard header.utf8.count <= 4096, parts.count == 2, parts[0].lowercased() == "basic",
            let data = Data(base64Encoded: String(parts[1][...].trimmed)), !data.contains(0),
            let colon = data.firstIndex(of: UInt8(ascii: ":")),
            let user = String(validating: data[..<colon], as: UTF8.self)
        else { return nil }
        return PasswordCheck.Credentials(user: user, password: [UInt8](data[(colon + 1)...]))
    }

    private static func challenge(_ message: String) -> RegistryProblem {
        var problem = RegistryProblem(.unauthorized, message)
        problem.headers[.wwwAuthenticate] = scheme
        return problem
    }
}
