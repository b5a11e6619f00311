import FoundationEssentials
import OCI
import TestSupport

// What `--output json` and LIST.json hold, decoded by the names that they promise and not by our own types.

struct ListDocument: Decodable, Equatable {
    struct Image: Decodable, Equatable {
        let repository: String
        let tag: String?
        let digest: String
        let platform: String?
    }

    struct Entry: Decodable, Equatable, Hashable {
        let repository: String
        let digest: String
        let size: Int64
        let kind: String
    }

    let name: String
    let source: String
    let generation: String
    let closureRoot: String
    let images: [Image]
    let closure: [Entry]
}

struct VerdictDocument: Decodable {
    struct Cause: Decodable {
        let code: String
        let message: String
    }

    struct Site: Decodable {
        let site: String
        let ready: Bool
        let reasons: [Cause]
        let missing: [ListDocument.Entry]
        let missingEntries: Int
        let missingBytes: Int64

        var codes: [String] { reasons.map(\.code) }
    }

    struct Pointer: Decodable {
        let generation: String
        let closureRoot: String
        let by: String
        let at: String
    }

    let environment: String
    let list: String
    let ready: Bool
    let staged: Pointer?
    let reasons: [Cause]
    let sites: [Site]

    func site(_ name: String) -> Site? { sites.first { $0.site == name } }
}

struct PromotionDocument: Decodable {
    let outcome: String
    let promoted: VerdictDocument.Pointer?
    let verdict: VerdictDocument
}

struct StatusDocument: Decodable {
    struct Environment: Decodable {
        let environment: String
        let lists: [List]
        let sites: [String]
    }

    struct List: Decodable {
        let promoted: VerdictDocument.Pointer?
        let verdict: VerdictDocument
    }

    let environments: [Environment]

    func list(_ name: String, in environment: String) -> List? {
        environments.first { $0.environment == environment }?.lists.first { $0.verdict.list == name }
    }
}

extension CommandResult {
    /// Standard output as a JSON document.
    func decoded<Document: Decodable>(_ type: Document.Type = Document.self) throws -> Document {
        do {
            return try JSONDecoder().decode(type, from: Data(output))
        } catch {
            throw TestSupportError("not the JSON of \(type) (exit code \(status)): \(text)\(errorText)\n\(error)")
        }
    }
}
