import HTTP

/// What requests to an S3 store are signed with. Printing, interpolating or dumping it shows where it was found, and no
/// part of it.
struct S3Credentials: Hashable, Sendable {
    /// The access key's name.
    let accessKeyID: String
    /// The secret that signatures are made with; never sent.
    let secretAccessKey: String
    /// The token that comes with temporary credentials.
    let sessionToken: String?
    /// Where they were found: the environment, or a file's path.
    let origin: String

    /// - Returns: `nil` where one of the two keys is missing or empty
    init?(accessKeyID: String?, secretAccessKey: String?, sessionToken: String?, origin: String) {
        guard let accessKeyID, let secretAccessKey, !accessKeyID.isEmpty, !secretAccessKey.isEmpty else { return nil }
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken.flatMap { $0.isEmpty ? nil : $0 }
        self.origin = origin
    }

    /// Text from a server, without what it may have echoed.
    func redacting(_ text: String) -> String {
        var text = text
        for secret in [secretAccessKey, sessionToken ?? "", accessKeyID] where !secret.isEmpty {
            text = text.replacing(secret, with: "‹secret›")
        }
        return text
    }
}

extension S3Credentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    var description: String { "‹credentials from \(origin)›" }
    var debugDescription: String { description }
    var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// A file in the form of AWS's shared files: `[section]` and `name = value` lines.
///
/// Source: "Configuration and credential file settings" in the AWS CLI user guide. Also reads what precedes any section
/// (as section `default`) and names in upper case, so that a file of `AWS_ACCESS_KEY_ID=…` lines serves too.
struct SharedFile: Hashable, Sendable {
    /// The largest file that is read, in bytes.
    static let limit = 1 << 20

    private let sections: [String: [String: String]]

    /// Lines of no known form are passed over, as AWS's own tools do: such files hold settings for many programs.
    init(_ text: String) {
        var sections: [String: [String: String]] = [:]
        var section = "default"
        for line in text.split(whereSeparator: \.isNewline) {
            let line = line.drop(while: \.isWhitespace)
            // Indented lines belong to nested settings, which are none of ours; their names do not collide with ours.
            guard let first = line.first, first != "#", first != ";" else { continue }
            if first == "[" {
                section = String(line.dropFirst().prefix { $0 != "]" }).trimmed
                continue
            }
            guard let equals = line.firstIndex(of: "=") else { continue }
            let name = String(line[..<equals]).trimmed.lowercased()
            sections[section, default: [:]][name] = String(line[line.index(after: equals)...]).trimmed
        }
        self.sections = sections
    }

    /// A setting of a profile, by its name in lower case.
    ///
    /// - Parameter isConfiguration: whether profiles other than `default` are written `[profile NAME]`
    func setting(_ name: String, profile: String, isConfiguration: Bool = false) -> String? {
        sections[isConfiguration && profile != "default" ? "profile \(profile)" : profile]?[name]
    }

    /// A profile's credentials; `nil` where the file has none.
    func credentials(profile: String, isConfiguration: Bool = false, origin: String) -> S3Credentials? {
        S3Credentials(
            accessKeyID: setting("aws_access_key_id", profile: profile, isConfiguration: isConfiguration),
            secretAccessKey: setting("aws_secret_access_key", profile: profile, isConfiguration: isConfiguration),
            sessionToken: setting("aws_session_token", profile: profile, isConfiguration: isConfiguration),
            origin: origin)
    }
}
