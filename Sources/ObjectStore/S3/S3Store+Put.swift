import HTTP

extension S3Store {
    /// Marks which write an object comes from.
    static let writeHeader = "x-amz-meta-rollcall-write"
    /// The ETag of the version that an object took the place of.
    static let replacesHeader = "x-amz-meta-rollcall-replaces"

    /// Writes an object.
    ///
    /// The reply to a conditional write may get lost after the store carried it out; sent again, the write then fails on
    /// its own success. So each conditional write leaves a random mark as metadata, a swap also which version it replaced,
    /// and where a condition fails on a repeated write, the object is read: with our mark it is stored. With another's, a
    /// creation is a conflict, and so is a swap whose place another one took. Otherwise ours may have been there in
    /// between: that is thrown. Ceph RGW 16.2.15 makes this more than a network's fault: of swaps at the same moment, it
    /// answers the losers with 500 UnknownError.
    public func put(
        _ bytes: [UInt8], at key: ObjectKey, condition: PutCondition
    ) async throws(ObjectStoreError) -> PutOutcome {
        let path = path(of: key)
        guard bytes.count <= ObjectStoreLimit.objectSize else {
            throw ObjectStoreError(
                .tooLarge, "the object has \(bytes.count) bytes; at most \(ObjectStoreLimit.objectSize) are stored",
                at: transport.bucket.place(of: path))
        }
        if condition == .none { return .stored(try await write(bytes, at: path)) }
        switch try await writes.mode(of: self) {
        case .exclusive(let form): return try await write(bytes, at: path, condition: condition, form)
        case .alone:
            let current: ETag?
            switch try await get(key, ifNoneMatch: nil) {
            case .found(let object): current = object.etag
            case .absent, .notModified: current = nil
            }
            switch condition {
            case .ifAbsent where current != nil: return .conflict
            case .ifMatch(let etag) where current != etag: return .conflict
            default: return .stored(try await write(bytes, at: path))
            }
        }
    }

    private func call(_ bytes: [UInt8], at path: String) -> S3Transport.Call {
        var call = S3Transport.Call(method: .put, key: path, body: bytes)
        call.headers["Content-Type"] = "application/octet-stream"
        return call
    }

    /// A write without a condition.
    func write(_ bytes: [UInt8], at path: String) async throws(ObjectStoreError) -> ETag {
        try stored(await transport.send(call(bytes, at: path)) { $0.status == 200 }, path)
    }

    private func stored(_ answer: S3Answer, _ path: String) throws(ObjectStoreError) -> ETag {
        guard let etag = answer.etag else { throw unexpected("no ETag to a write", path) }
        return etag
    }

    /// A write with a condition, in the form that the store takes.
    func write(
        _ bytes: [UInt8], at path: String, condition: PutCondition, _ form: ETagForm
    ) async throws(ObjectStoreError) -> PutOutcome {
        var call = call(bytes, at: path)
        call.isConditionalWrite = true
        let mark = timing.randomName
        call.headers[Self.writeHeader] = mark
        switch condition {
        case .none: break
        case .ifAbsent: call.headers["If-None-Match"] = "*"
        case .ifMatch(let etag):
            call.headers["If-Match"] = form.write(etag)
            call.headers[Self.replacesHeader] = etag.text
        }
        // AWS answers 404 where the object of an If-Match is gone ("conditional writes" in the S3 user guide).
        let answer = try await transport.send(call) { [200, 412].contains($0.status) || $0.isAbsent }
        if answer.status == 200 { return .stored(try stored(answer, path)) }
        guard answer.followsLostReply else { return .conflict }
        return try await resolve(bytes, at: path, mark: mark, condition: condition)
    }

    /// What became of a write whose first reply was lost and whose repetition failed.
    private func resolve(
        _ bytes: [UInt8], at path: String, mark: String, condition: PutCondition
    ) async throws(ObjectStoreError) -> PutOutcome {
        let call = S3Transport.Call(method: .get, key: path, limit: ObjectStoreLimit.objectSize)
        let answer = try await transport.send(call) { $0.status == 200 || $0.isAbsent }
        if answer.status == 200, let etag = answer.etag {
            let isOurs = answer.headers[Self.writeHeader].map { $0 == mark } ?? (answer.body == bytes)
            if isOurs { return .stored(etag) }
            if condition == .ifAbsent { return .conflict }
            if case .ifMatch(let replaced) = condition, answer.headers[Self.replacesHeader] == replaced.text {
                return .conflict
            }
        }
        throw ObjectStoreError(
            .outcomeUnknown,
            "the reply to a conditional write was lost, and the object has changed since: it is not known whether the write"
                + " was carried out; read the object, then decide again",
            at: transport.bucket.place(of: path))
    }
}

extension Timing {
    /// 32 hexadecimal digits that nobody else has.
    var randomName: String { [UInt8]((0..<16).map { _ in UInt8(clamping: Int(chance() * 256)) }).hex }
}
