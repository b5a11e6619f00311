import OCI

extension ImageList {
    /// The bytes that the generation hashes.
    public var canonicalBytes: [UInt8] {
        Self.text(name: name, source: source, images: images, closure: closure, generation: nil)
    }

    /// The list as LIST.json and the central object store hold it: the canonical fields and `generation`, one image or
    /// closure entry a line, a line feed at the end.
    public var documentBytes: [UInt8] {
        Self.text(name: name, source: source, images: images, closure: closure, generation: generation)
    }

    /// Reads LIST.json or the stored object.
    ///
    /// - Parameters:
    ///   - bytes: the whole document
    ///   - origin: the file or object, for messages
    /// - Throws: `ReadinessError.invalidList` for a malformed document, an order or a repetition that the canonical form
    ///   does not have, or a closure root or generation that is not that of the content; `.unknownSchema` for a newer
    ///   version.
    public init(parsing bytes: [UInt8], in origin: String? = nil) throws(ReadinessError) {
        func refuse(_ message: String) -> ReadinessError { ReadinessError(.invalidList, message, in: origin) }
        guard bytes.count <= Self.maximumSize else {
            throw refuse("the list has \(bytes.count) bytes: at most \(Self.maximumSize) are read")
        }
        let document = try Document.decode(Fields.self, from: bytes, .invalidList, in: origin)
        let images: [Image]
        let list: ImageList
        do {
            images = try document.images.map(Image.init(fields:))
            list = try ImageList(
                name: document.name, source: document.source, images: images, closure: Closure(document.closure))
        } catch {
            throw refuse(error.message)
        }
        guard list.closure.entries == document.closure, list.images == images else {
            throw refuse("its images or closure entries are not sorted, or repeat: resolve the list again")
        }
        guard list.closure.root == document.closureRoot else {
            throw refuse(
                "its closure's root is \(list.closure.root), but it says \(document.closureRoot): do not use it")
        }
        guard list.generation == document.generation else {
            throw refuse(
                "its content's generation is \(list.generation), but it says \(document.generation): it was changed by"
                    + " hand or damaged; resolve the list again")
        }
        self = list
    }

    private struct Fields: Decodable {
        let schema: String
        let name: ListName
        let source: String
        let images: [ImageFields]
        let closure: [ClosureEntry]
        let closureRoot: Digest
        let generation: Digest

        enum CodingKeys: CodingKey { case schema, name, source, images, closure, closureRoot, generation }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            schema = try container.decode(String.self, forKey: .schema)
            try Schema.imageList.require(schema)
            name = try container.decode(ListName.self, forKey: .name)
            source = try container.decode(String.self, forKey: .source)
            images = try container.decode([ImageFields].self, forKey: .images)
            closure = try container.decode([ClosureEntry].self, forKey: .closure)
            closureRoot = try container.decode(Digest.self, forKey: .closureRoot)
            generation = try container.decode(Digest.self, forKey: .generation)
        }
    }

    fileprivate struct ImageFields: Decodable {
        let repository: Repository
        let tag: Tag?
        let digest: Digest
        let mediaType: MediaType
        let size: Int64
        let platform: String?
    }

    // MARK: Writing

    /// Written here and not by a library's encoder: the generation must be the same for every version of every library,
    /// and a million entries take a second, not a minute.
    ///
    /// - Parameter generation: `nil` for the canonical bytes, which are compact
    static func text(
        name: ListName, source: String, images: [Image], closure: Closure, generation: Digest?
    ) -> [UInt8] {
        let pretty = generation != nil
        let colon = pretty ? "\": " : "\":"
        var bytes: [UInt8] = []
        bytes.reserveCapacity(closure.entries.count * 256 + images.count * 320 + 1024)

        func write(_ text: String) { bytes.append(contentsOf: text.utf8) }
        func field(_ key: String, _ value: String, last: Bool = false) {
            write("\"\(key)\(colon)\"\(value)\"\(last ? "" : pretty ? ", " : ",")")
        }
        func number(_ key: String, _ value: Int64, last: Bool = false) {
            write("\"\(key)\(colon)\(value)\(last ? "" : pretty ? ", " : ",")")
        }
        func line(_ depth: Int) { if pretty { write("\n" + String(repeating: "  ", count: depth)) } }
        func key(_ key: String) {
            line(1)
            write("\"\(key)\(colon)")
        }
        func value(_ name: String, _ value: String, last: Bool = false) {
            key(name)
            write("\"\(value)\"\(last ? "" : ",")")
        }

        write("{")
        key("closure")
        write("[")
        for (index, entry) in closure.entries.enumerated() {
            if index > 0 { write(",") }
            line(2)
            write("{")
            field("digest", entry.digest.description)
            field("kind", entry.kind.rawValue)
            field("mediaType", entry.mediaType.name)
            field("repository", entry.repository.name)
            number("size", entry.size, last: true)
            write("}")
        }
        line(1)
        write("],")
        value("closureRoot", closure.root.description)
        if let generation { value("generation", generation.description) }
        key("images")
        write("[")
        for (index, image) in images.enumerated() {
            if index > 0 { write(",") }
            line(2)
            write("{")
            field("digest", image.digest.description)
            field("mediaType", image.mediaType.name)
            if let platform = image.platform { field("platform", platform.description) }
            field("repository", image.repository.name)
            number("size", image.size, last: image.tag == nil)
            if let tag = image.tag { field("tag", tag.name, last: true) }
            write("}")
        }
        line(1)
        write("],")
        value("name", name.text)
        value("schema", Schema.imageList.id)
        value("source", source, last: true)
        if pretty { write("\n") }
        write("}")
        if pretty { write("\n") }
        return bytes
    }
}

extension ImageList.Image {
    fileprivate init(fields: ImageList.ImageFields) throws(ReadinessError) {
        let platform: Platform?
        if let text = fields.platform {
            guard let parsed = Platform(text) else {
                throw ReadinessError(
                    .invalidList, "'\(text.prefix(100))' is not a platform: write OS/ARCHITECTURE[/VARIANT]")
            }
            platform = parsed
        } else {
            platform = nil
        }
        self.init(
            repository: fields.repository, tag: fields.tag, digest: fields.digest, mediaType: fields.mediaType,
            size: fields.size, platform: platform)
    }
}
