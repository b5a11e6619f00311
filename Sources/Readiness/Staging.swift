import OCI

/// Decides whether a generation may be staged to an environment: on the first rung always, on the others once it was
/// promoted on the rung before.
///
/// - Parameters:
///   - list: the generation to stage
///   - environment: where to
///   - predecessor: the record of the environment before it on the ladder; `nil` for the first
/// - Returns: why not; `nil` where it may be staged
public func refusalToStage(
    _ list: ImageList, to environment: EnvironmentName, after predecessor: EnvironmentRecord?
) -> Reason? {
    guard let predecessor, predecessor.lists[list.name]?.hasPromoted(list.generation) != true else { return nil }
    return notPromotedBefore(list.name, list.generation, in: predecessor.environment, before: environment)
}

/// The ladder's refusal: a generation was not promoted on the rung before, or was rolled back there.
func notPromotedBefore(
    _ list: ListName, _ generation: Digest, in predecessor: EnvironmentName, before environment: EnvironmentName
) -> Reason {
    Reason(
        .notPromotedBefore,
        "'\(list)' of generation \(generation.short) was not promoted in '\(predecessor)', which comes before"
            + " '\(environment)', or was taken back there: run 'rollcall promote \(list) --environment \(predecessor)' first"
    )
}
