public import Readiness

/// A page of the board: what a path and a query ask for, and the link to it. Pure.
public enum BoardRoute: Sendable, Hashable {
    /// Every environment.
    case overview
    /// One environment's lists and sites.
    case environment(EnvironmentName, SiteSelection)
    /// One list of an environment, with what every site proved of it.
    case list(EnvironmentName, ListName, SiteSelection)
    /// One site of an environment.
    case site(EnvironmentName, SiteName)
    /// The latest records of the audit chain that fit, before a number.
    case audit(CentralStore.AuditFilter, before: Int64?)
    /// The waivers of all environments.
    case waivers

    /// Which of an environment's sites a page shows.
    public struct SiteSelection: Sendable, Hashable {
        /// The sites of one page.
        public static let pageSize = 100

        /// Only those of this state.
        public var state: SiteState?
        /// The page, from 1.
        public var page = 1

        /// The first page of all.
        public init() {}

        init(state: SiteState?, page: Int = 1) {
            self.state = state
            self.page = page
        }
    }

    /// What is wrong with a path or a query: words for people.
    public struct Fault: Error, Sendable, Hashable {
        /// What is wrong.
        public let message: String
        /// Whether there is nothing at the path, whatever the query.
        public let isUnknownPath: Bool
    }

    /// Whether a path is one of the board's, whatever it names.
    public static func owns(_ path: String) -> Bool {
        ["/", "/audit", "/waivers"].contains(path) || path.hasPrefix("/environments/")
    }

    /// Reads a request's path and query.
    ///
    /// - Parameters:
    ///   - path: the path, decoded or not: no name needs encoding
    ///   - query: the decoded parameters; of an empty one nothing is asked, as a form sends what is not filled in
    public init(path: String, query: [(String, String)]) throws(Fault) {
        var parameters = try Parameters(query)
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(String.init)
        switch (parts.first, parts.count) {
        case ("", 1): self = .overview
        case ("waivers", 1): self = .waivers
        case ("audit", 1):
            var filter = CentralStore.AuditFilter()
            filter.environment = try parameters.take("environment", EnvironmentName.init(_:))
            filter.site = try parameters.take("site", SiteName.init(_:))
            filter.list = try parameters.take("list", ListName.init(_:))
            filter.person = try parameters.take("by") { text in
                guard text.utf8.count <= 300 else { throw Fault(message: "a name that long", isUnknownPath: false) }
                return text
            }
            self = .audit(filter, before: try parameters.take("before", Self.number(in: 1...Int64.max)))
        case ("environments", 2):
            let environment = try Self.name(parts[1], EnvironmentName.init(_:))
            self = .environment(environment, try parameters.selection())
        case ("environments", 4) where parts[2] == "lists":
            let environment = try Self.name(parts[1], EnvironmentName.init(_:))
            self = .list(environment, try Self.name(parts[3], ListName.init(_:)), try parameters.selection())
        case ("environments", 4) where parts[2] == "sites":
            self = .site(
                try Self.name(parts[1], EnvironmentName.init(_:)), try Self.name(parts[3], SiteName.init(_:)))
        default: throw Fault(message: "there is nothing at this path", isUnknownPath: true)
        }
        try parameters.end()
    }

    /// The link to the page, from the root of the host.
    public var path: String {
        switch self {
        case .overview: "/"
        case .waivers: "/waivers"
        case .environment(let environment, let selection): "/environments/\(environment)\(Self.query(selection))"
        case .list(let environment, let list, let selection):
            "/environments/\(environment)/lists/\(list)\(Self.query(selection))"
        case .site(let environment, let site): "/environments/\(environment)/sites/\(site)"
        case .audit(let filter, let before):
            "/audit"
                + Self.query([
                    ("environment", filter.environment?.text), ("site", filter.site?.text), ("list", filter.list?.text),
                    ("by", filter.person), ("before", before.map { "\($0)" }),
                ])
        }
    }

    private static func query(_ selection: SiteSelection) -> String {
        query([("state", selection.state?.rawValue), ("page", selection.page == 1 ? nil : "\(selection.page)")])
    }

    private static func query(_ parameters: [(String, String?)]) -> String {
        let pairs = parameters.compactMap { name, value in value.map { "\(name)=\(encoded($0))" } }
        return pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&")
    }

    /// Percent-encodes all but RFC 3986's unreserved characters.
    private static func encoded(_ text: String) -> String {
        text.utf8.map { byte in
            let character = Character(UnicodeScalar(byte))
            guard !character.isASCII || !(character.isLetter || character.isNumber || "-._~".contains(character)) else {
                return String(character)
            }
            let digits = String(byte, radix: 16, uppercase: true)
            return "%" + (digits.count < 2 ? "0" : "") + digits
        }.joined()
    }

    private static func name<Name>(_ text: String, _ parse: (String) throws -> Name) throws(Fault) -> Name {
        do {
            return try parse(text)
        } catch {
            throw Fault(message: "\(error)", isUnknownPath: false)
        }
    }

    private static func number<Number: FixedWidthInteger>(
        in range: ClosedRange<Number>
    ) -> (String) throws -> Number {
        { text in
            guard let number = Number(text), range.contains(number) else {
                throw Fault(
                    message: "'\(text.prefix(40))' is no number from \(range.lowerBound) on", isUnknownPath: false)
            }
            return number
        }
    }

    /// A query's parameters, each to be taken once.
    private struct Parameters {
        private var values: [String: String] = [:]

        init(_ query: [(String, String)]) throws(Fault) {
            for (name, value) in query {
                guard values.updateValue(value, forKey: name) == nil else {
                    throw Fault(message: "the parameter '\(name.prefix(100))' is there twice", isUnknownPath: false)
                }
            }
        }

        mutating func take<Value>(_ name: String, _ parse: (String) throws -> Value) throws(Fault) -> Value? {
            guard let text = values.removeValue(forKey: name), !text.isEmpty else { return nil }
            do {
                return try parse(text)
            } catch let fault as Fault {
                throw Fault(message: "\(name): \(fault.message)", isUnknownPath: false)
            } catch {
                throw Fault(message: "\(name): \(error)", isUnknownPath: false)
            }
        }

        mutating func selection() throws(Fault) -> SiteSelection {
            let state = try take("state") { text in
                guard let state = SiteState(rawValue: text) else {
                    let states = SiteState.allCases.map(\.rawValue).joined(separator: ", ")
                    throw Fault(message: "'\(text.prefix(40))' is none of \(states)", isUnknownPath: false)
                }
                return state
            }
            return SiteSelection(state: state, page: try take("page", number(in: 1...1_000_000)) ?? 1)
        }

        func end() throws(Fault) {
            guard let unknown = values.keys.sorted().first else { return }
            throw Fault(message: "unknown parameter '\(unknown.prefix(100))'", isUnknownPath: false)
        }
    }
}
