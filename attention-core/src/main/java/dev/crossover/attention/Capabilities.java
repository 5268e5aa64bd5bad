package dev.crossover.attention;

/// What a mechanism can do, declared once; documentation, refusals and the contract tests all
/// follow it.
///
/// @param causal whether it runs without, with either, or only with causal order
/// @param keyPadding which key-padding patterns it honours
/// @param crossAttention whether nq may differ from nk
/// @param groupedQueries whether several query heads may share a key/value head
/// @param valueDim whether dv may differ from d
/// @param keyDim whether keys may be wider or narrower than queries
/// @param decoding whether it opens a [DecodeSession]
/// @param gradients whether it has a backward pass
/// @param zeroesPaddedQueries whether output rows at padded positions are zero (otherwise computed)
/// @param batchIndependent whether one batch entry's or head's result is independent of the others
public record Capabilities(
    Causality causal,
    Padding keyPadding,
    boolean crossAttention,
    boolean groupedQueries,
    boolean valueDim,
    boolean keyDim,
    boolean decoding,
    boolean gradients,
    boolean zeroesPaddedQueries,
    boolean batchIndependent) {

  /// Use of causal order.
  public enum Causality {
    /// Refused: the mechanism mixes positions in a way no mask restores.
    NEVER,
    /// Both forms exist.
    OPTIONAL,
    /// Causal by construction; a plan without causal order is refused.
    ALWAYS
  }

  /// Key-padding patterns.
  public enum Padding {
    /// Refused.
    NONE,
    /// Only padding after all real keys.
    AT_END,
    /// Any pattern.
    ANY
  }

  /// A mechanism that can do nothing beyond plain multi-head self-attention without a mask.
  public static final Capabilities MINIMAL =
      new Capabilities(
          Causality.NEVER, Padding.NONE, false, false, false, false, false, false, false, true);

  /// With this use of causal order.
  public Capabilities causal(Causality newCausal) {
    return new Capabilities(
        newCausal,
        keyPadding,
        crossAttention,
        groupedQueries,
        valueDim,
        keyDim,
        decoding,
        gradients,
        zeroesPaddedQueries,
        batchIndependent);
  }

  /// With these padding patterns.
  public Capabilities keyPadding(Padding newKeyPadding) {
    return new Capabilities(
        causal,
        newKeyPadding,
        crossAttention,
        groupedQueries,
        valueDim,
        keyDim,
        decoding,
        gradients,
        zeroesPaddedQueries,
        batchIndependent);
  }

  /// With or without different query and key lengths.
  public Capabilities crossAttention(boolean can) {
    return new Capabilities(
        causal,
        keyPadding,
        can,
        groupedQueries,
        valueDim,
        keyDim,
        decoding,
        gradients,
        zeroesPaddedQueries,
        batchIndependent);
  }

  /// With or without shared key/value heads.
  public Capabilities groupedQueries(boolean can) {
    return new Capabilities(
        causal,
        keyPadding,
        crossAttention,
        can,
        valueDim,
        keyDim,
        decoding,
        gradients,
        zeroesPaddedQueries,
        batchIndependent);
  }

  /// With or without a value width of its own.
  public Capabilities valueDim(boolean can) {
    return new Capabilities(
        causal,
        keyPadding,
        crossAttention,
        groupedQueries,
        can,
        keyDim,
        decoding,
        gradients,
        zeroesPaddedQueries,
        batchIndependent);
  }

  /// With or without a key width of its own.
  public Capabilities keyDim(boolean can) {
    return new Capabilities(
        causal,
        keyPadding,
        crossAttention,
        groupedQueries,
        valueDim,
        can,
        decoding,
        gradients,
        zeroesPaddedQueries,
        batchIndependent);
  }

  /// With or without decoding sessions.
  public Capabilities decoding(boolean can) {
    return new Capabilities(
        causal,
        keyPadding,
        crossAttention,
        groupedQueries,
        valueDim,
        keyDim,
        can,
        gradients,
        zeroesPaddedQueries,
        batchIndependent);
  }

  /// With or without a backward pass.
  public Capabilities gradients(boolean can) {
    return new Capabilities(
        causal,
        keyPadding,
        crossAttention,
        groupedQueries,
        valueDim,
        keyDim,
        decoding,
        can,
        zeroesPaddedQueries,
        batchIndependent);
  }

  /// Output rows at padded positions are zero (true) or computed like all others (false).
  public Capabilities zeroesPaddedQueries(boolean zeroes) {
    return new Capabilities(
        causal,
        keyPadding,
        crossAttention,
        groupedQueries,
        valueDim,
        keyDim,
        decoding,
        gradients,
        zeroes,
        batchIndependent);
  }

  /// Whether results of different batch entries and heads are independent.
  public Capabilities batchIndependent(boolean independent) {
    return new Capabilities(
        causal,
        keyPadding,
        crossAttention,
        groupedQueries,
        valueDim,
        keyDim,
        decoding,
        gradients,
        zeroesPaddedQueries,
        independent);
  }
}
