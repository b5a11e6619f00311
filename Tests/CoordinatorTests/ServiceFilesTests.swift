import FoundationEssentials
import ObjectStore
import Testing

@testable import Coordinator

/// The files that the gate server is run by.
@Suite struct ServiceFilesTests {
    private func lines(_ path: String) throws -> [Substring] {
        let root = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined()
        return String(decoding: try Data(contentsOf: URL(filePath: "\(root)/configs/\(path)")), as: UTF8.self)
            .split(separator: "\n").map { $0.drop { $0 == " " } }
    }

    /// Its root file system is read-only, and it has no home: what it keeps of an S3 store has a place all the same.
    @Test func thereIsAPlaceForWhatIsKept() throws {
        let place = "/var/cache/rollcall"
        let unit = try lines("systemd/rollcall-serve.service")
        #expect(unit.contains("CacheDirectory=rollcall"))
        #expect(unit.contains("Environment=\(ObjectStoreLocation.cacheVariable)=\(place)"))
        let deployment = try lines("kubernetes/base/coordinator/deployment.yaml")
        #expect(deployment.contains("- {name: \(ObjectStoreLocation.cacheVariable), value: \(place)}"))
        #expect(deployment.contains("- {name: cache, mountPath: \(place)}"))
        #expect(deployment.contains("- name: cache"))
    }
}
