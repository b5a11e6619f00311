extension ObjectStore {
    /// Tries with an object of its own whether writes exclude each other as gates and agents need it, and deletes it.
    ///
    /// - Parameter key: a key that nobody else uses
    /// - Returns: what does not hold, in words; `nil` where all of it does
    /// - Throws: `ObjectStoreError`, also where the object cannot be deleted.
    public func faultOfExclusion(at key: ObjectKey) async throws(ObjectStoreError) -> String? {
        do throws(ObjectStoreError) {
            let fault = try await triedExclusion(at: key)
            try await delete(key)
            return fault
        } catch {
            // In a task of its own: the request of one that was cancelled would not be sent, and the object would stay.
            await Task { try? await delete(key) }.value
            throw error
        }
    }

    private func triedExclusion(at key: ObjectKey) async throws(ObjectStoreError) -> String? {
        guard case .stored(let first) = try await put([1], at: key, condition: .ifAbsent) else {
            return "a new object cannot be created"
        }
        guard try await put([2], at: key, condition: .ifAbsent) == .conflict else {
            return "an object can be created twice"
        }
        guard case .stored(let second) = try await put([3], at: key, condition: .ifMatch(first)) else {
            return "the version that is there cannot be replaced"
        }
        guard try await put([4], at: key, condition: .ifMatch(first)) == .conflict else {
            return "a version can be replaced twice"
        }
        guard case .found(let object) = try await get(key, ifNoneMatch: nil), object.bytes == [3],
            object.etag == second
        else { return "what was written is not what is read" }
        return nil
    }
}

extension ObjectKey {
    /// A key below `doctor/` that nobody else uses: nothing but doctors looks there.
    public static func ofDoctor() throws(ObjectStoreError) -> ObjectKey {
        try ObjectKey("doctor/\(String(UInt64.random(in: .min ... .max), radix: 16))")
    }
}
