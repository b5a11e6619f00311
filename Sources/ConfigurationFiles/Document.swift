import Glibc
import Yams

/// One YAML file, read whole and checked for what no file of ours may hold.
///
/// A strict subset of YAML 1.1 as libyaml reads it: one document, UTF-8, no anchors and aliases (they save a few lines
/// and cost unbounded expansion), no repeated keys. Scalars stay the text that the user wrote: `tag: 1.10` is not the
/// number 1.1, and `no` is not a truth value unless a truth value is asked for.
struct Document {
    /// The most bytes that a file of settings may have: 1 MiB.
    static let settingsLimit = 1 << 20
    /// The most bytes that a list of images may have: 16 MiB.
    static let imagesLimit = 16 << 20

    /// The top of the file.
    let root: Value

    /// - Parameters:
    ///   - path: the file, as the user named it
    ///   - title: what the file is, such as `the fleet file`
    ///   - limit: the most bytes that it may have
    init(path: String, title: String, limit: Int) throws(ConfigurationError) {
        let bytes = try Self.read(path, title: title, limit: limit)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ConfigurationError(.malformed, "\(title) is not UTF-8 text", in: path)
        }
        try self.init(text: text, path: path, title: title)
    }

    /// - Parameters:
    ///   - text: the file's content
    ///   - path: the file, as the user named it
    ///   - title: what the file is, such as `the fleet file`
    init(text: String, path: String, title: String) throws(ConfigurationError) {
        // libyaml counts a byte order mark as the first column, and then finds the first block unindented.
        let text = text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text
        let node: Node
        do {
            // The basic resolver leaves every scalar the text that it is.
            let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
            guard let root = try parser.singleRoot() else {
                throw ConfigurationError(.malformed, "\(title) is empty", in: path)
            }
            // Nodes hold their anchors weakly: the parser must outlive the search for them.
            try withExtendedLifetime(parser) { try Self.refuseAnchors(in: root, path: path) }
            node = root
        } catch let error as ConfigurationError {
            throw error
        } catch let error as YamlError {
            throw ConfigurationError(malformed: error, text: text, path: path)
        } catch {
            throw ConfigurationError(.malformed, "malformed YAML: \(error)", in: path)
        }
        let location = node.location ?? ConfigurationError.Location(line: 1, column: 1)
        root = Value(node: node, name: title, file: path, location: location)
    }

    /// Visits nodes in the order of the file, so that an anchor is met before any alias to it is followed.
    private static func refuseAnchors(in root: Node, path: String) throws(ConfigurationError) {
        var pending = [root]
        while let node = pending.popLast() {
            if let anchor = node.anchor {
                throw ConfigurationError(
                    .malformed, "anchors and aliases ('&\(anchor.rawValue)') are not supported: write the value out",
                    in: path, at: node.location)
            }
            switch node {
            case .mapping(let mapping):
                for (key, value) in mapping.reversed() { pending += [value, key] }
            case .sequence(let sequence):
                pending += sequence.reversed()
            case .scalar, .alias:
                break
            }
        }
    }

    private static func read(_ path: String, title: String, limit: Int) throws(ConfigurationError) -> [UInt8] {
        func unreadable(_ number: Int32) -> ConfigurationError {
            ConfigurationError(.unreadable, "cannot read \(title): \(String(cString: strerror(number)))", in: path)
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw unreadable(errno) }
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= limit else {
                throw ConfigurationError(.tooLarge, "\(title) is larger than \(limit >> 20) MiB", in: path)
            }
        }
    }
}

extension Node {
    var location: ConfigurationError.Location? {
        mark.map { ConfigurationError.Location(line: $0.line, column: $0.column) }
    }
}

extension ConfigurationError {
    /// What libyaml found, in one line.
    fileprivate init(malformed error: YamlError, text: String, path: String) {
        var location: Location?
        let problem: String
        switch error {
        case .scanner(let context, let text, let mark, _), .parser(let context, let text, let mark, _),
            .composer(let context, let text, let mark, _):
            location = Location(line: mark.line, column: mark.column)
            problem = (context.map { "\($0.text) " } ?? "") + text
        case .reader(let text, _, _, _):
            // The offset counts bytes or characters depending on the input: a place that may be wrong is no help.
            problem = text
        case .duplicatedKeysInMapping(let keys, let context):
            location = Location(line: context.mark.line, column: context.mark.column)
            problem = "the key '\(keys.first ?? "")' occurs twice in the same mapping"
        default:
            problem = "it cannot be read"
        }
        var message = "malformed YAML: \(problem)"
        if let location, Self.isIndentedWithTab(text, line: location.line) {
            message += " (YAML is indented with spaces; this line has a tab)"
        }
        self.init(.malformed, message, in: path, at: location)
    }

    private static func isIndentedWithTab(_ text: String, line: Int) -> Bool {
        // "\r\n" is one Character: split on what ends a line, not on "\n".
        text.split(maxSplits: line, omittingEmptySubsequences: false, whereSeparator: \.isNewline)
            .dropFirst(line - 1).first?
            .prefix { $0.isWhitespace }.contains("\t") ?? false
    }
}
