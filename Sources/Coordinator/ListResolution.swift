import ConfigurationFiles
import HTTP
import OCI
import Readiness
import Registry
import Transfer

/// The way from an images file to an image list.
struct ListResolution: Sendable {
    /// Images that are walked at once; the registry client bounds the requests.
    static let imagesAtOnce = 8

    let file: ImagesFile

    /// Walks every image and puts the list together.
    ///
    /// - Parameter walk: asks the source for one image of the file
    /// - Throws: `ResolutionError` naming the image's place in the file; nothing is resolved in part
    func resolve(
        _ walk: @escaping @Sendable (ImagesFile.Image) async throws -> [WalkedImage]
    ) async throws -> ImageList {
        let walked = try await withThrowingTaskGroup(of: (Int, [WalkedImage]).self) { group in
            var results: [[WalkedImage]] = Array(repeating: [], count: file.images.count)
            var waiting = file.images.enumerated().makeIterator()
            func addNext() {
                guard let (index, image) = waiting.next() else { return }
                group.addTask {
                    do {
                        return (index, try await walk(image))
                    } catch let error where !Task.isCancelled {
                        throw ResolutionError(image: image, file: file, cause: error)
                    }
                }
            }
            for _ in 0..<Self.imagesAtOnce { addNext() }
            while let (index, images) = try await group.next() {
                results[index] = images
                addNext()
            }
            return results
        }
        let images = zip(file.images, walked).flatMap { image, walked in
            walked.map { Self.pin($0, of: image, among: walked) }
        }
        return try ImageList(
            name: file.name, source: file.source.redacted.withoutSlashAtEnd, images: images,
            closure: Closure(walked.joined().flatMap(\.entries)))
    }

    /// A tag names one image: of several platforms that were picked out of an index, none has it.
    private static func pin(_ walked: WalkedImage, of image: ImagesFile.Image, among all: [WalkedImage])
        -> ImageList.Image
    {
        ImageList.Image(
            repository: walked.repository, tag: all.count == 1 ? image.tag : nil, digest: walked.root.digest,
            mediaType: walked.root.mediaType, size: walked.root.size, platform: walked.root.platform)
    }
}

/// An image of an images file that could not be resolved.
struct ResolutionError: Error, CustomStringConvertible {
    let image: ImagesFile.Image
    let file: ImagesFile
    let cause: any Error

    var description: String { "\(file.path):\(image.line): cannot resolve \(image.repository): \(cause)" }
}

extension String {
    fileprivate var withoutSlashAtEnd: String { hasSuffix("/") ? String(dropLast()) : self }
}
