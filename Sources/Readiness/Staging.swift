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
    return Reason(
        .notPromotedBefore,
        "'\(list.name)' of generation \(list.generation.short) was not promoted in '\(predecessor.environment)', which comes"
            + " before '\(environment)': run 'rollcall promote \(list.name) --environment \(predecessor.environment)' first"
    )
}
