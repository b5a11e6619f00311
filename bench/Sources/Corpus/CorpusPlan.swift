import Glibc

/// What images a corpus holds: a pure value, the same from the same arguments on every machine.
struct CorpusPlan: Hashable, Codable {
    /// One image, of layers that other images may share.
    struct Image: Hashable, Codable {
        let repository: String
        let tag: String
        /// Indices of `layers`, the base first.
        var layers: [Int]
    }

    /// The compressed size of each layer in bytes.
    let layers: [Int]
    let images: [Image]
    /// Images of the release before, which a destination may have already.
    var previous: [Image] = []
    /// Where the content's random numbers start.
    let seed: UInt64

    /// Bytes that its files take in a registry's storage, at most: each content has two directories of its own, and each
    /// link to one is a file in another.
    var space: Int {
        layers.reduce(0, +) + (images + previous).reduce(0) { $0 + ($1.layers.count + 6) * 20_480 }
    }

    /// One image whose layers are equally large.
    static func image(_ name: String, bytes: Int, layers: Int, seed: UInt64) -> CorpusPlan {
        CorpusPlan(
            layers: Array(repeating: bytes / layers, count: layers),
            images: [Image(repository: "bench/\(name)", tag: "1.0", layers: Array(0..<layers))], seed: seed)
    }

    /// A platform release: images over two base systems and six runtimes, with three layers of their own each.
    ///
    /// Of the bytes, two fifths lie in the shared layers; an image's own layers are spread as wide as in a real release, from
    /// a few KiB to some MiB. 60 images make 248 blobs with their configurations.
    static func release(images count: Int, bytes: Int, seed: UInt64) -> CorpusPlan {
        let shared = bytes * 2 / 5
        var layers = Array(repeating: shared / 4, count: 2) + Array(repeating: shared / 12, count: 6)
        let runtimes = layers.count - 2
        var random = SplitMix(seed: seed)
        // Log-normal with a deviation of 1.5, scaled to the bytes there are.
        let shapes = (0..<count * 3).map { _ in
            let radius = (-2 * log(1 - random.nextUnit())).squareRoot()
            return exp(1.5 * radius * cos(2 * .pi * random.nextUnit()))
        }
        let scale = Double(bytes - shared) / max(1, shapes.reduce(0, +))
        // Two digits at least, and as many as the last number has: no two images may have one name.
        let digits = max(2, String(count - 1).count)
        layers += shapes.map { max(2048, Int($0 * scale)) }
        let images = (0..<count).map { index in
            let runtime = index % runtimes
            let number = String(repeating: "0", count: max(0, digits - String(index).count)) + String(index)
            return Image(
                repository: "platform/app-\(number)", tag: "4.17.3",
                layers: [runtime % 2, 2 + runtime] + (0..<3).map { 2 + runtimes + index * 3 + $0 })
        }
        return CorpusPlan(layers: layers, images: images, seed: seed)
    }

    /// The release after `release`, as a correction of one runtime makes it: images on that runtime are built again, of the
    /// others every fourth has a new layer of its own, and the rest only gets the new tag.
    ///
    /// 60 images share 177 of 248 blobs with the release before.
    static func upgrade(images count: Int, bytes: Int, seed: UInt64) -> CorpusPlan {
        let before = release(images: count, bytes: bytes, seed: seed)
        var layers = before.layers
        func renewed(_ layer: Int) -> Int {
            layers.append(layers[layer])
            return layers.count - 1
        }
        let corrected = before.images.first.map { $0.layers[1] } ?? 0
        let runtime = renewed(corrected)
        let images = before.images.enumerated().map { index, image in
            var image = Image(repository: image.repository, tag: "4.17.4", layers: image.layers)
            if image.layers[1] == corrected {
                image.layers = [image.layers[0], runtime] + image.layers.dropFirst(2).map { renewed($0) }
            } else if index % 4 == 1 {
                image.layers[image.layers.count - 1] = renewed(image.layers[image.layers.count - 1])
            }
            return image
        }
        return CorpusPlan(layers: layers, images: images, previous: before.images, seed: seed)
    }
}
