// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;

/// What a mechanism can do, declared once; documentation, refusals and the contract tests all
/// follow it.
///
/// @param causal whether it runs without, with either, or only with causal order
/// @param keyPadding which key-padding patterns it honours
/// @param abilities everything else; copied
public record Capabilities(Causality causal, Padding keyPadding, Set<Ability> abilities) {

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

  /// What a mechanism may be able to do, or does in its own way.
  public enum Ability {
    /// nq may differ from nk.
    CROSS_ATTENTION,
    /// Several query heads may share a key/value head.
    GROUPED_QUERIES,
    /// dv may differ from d.
    VALUE_DIM,
    /// Keys may be wider or narrower than queries.
    KEY_DIM,
    /// It opens a [DecodeSession].
    DECODING,
    /// It has a backward pass.
    GRADIENTS,
    /// Output rows at padded positions are zero; otherwise they are computed like all others.
    ZEROES_PADDED_QUERIES,
    /// A batch entry's or head's result depends on the others.
    MIXES_BATCH,
    /// Which keys a row sees is chosen with the help of tokens it does not see: in causal order of
    /// later ones, so that decoding, which cannot know them, may choose others.
    CHOOSES_AHEAD
  }

  /// A mechanism that can do nothing beyond plain multi-head self-attention without a mask.
  public static final Capabilities MINIMAL =
      new Capabilities(Causality.NEVER, Padding.NONE, Set.of());

  /// Copies the abilities.
  public Capabilities {
    abilities = Set.copyOf(abilities);
  }

  /// With this use of causal order.
  public Capabilities causal(Causality newCausal) {
    return new Capabilities(newCausal, keyPadding, abilities);
  }

  /// With these padding patterns.
  public Capabilities keyPadding(Padding newKeyPadding) {
    return new Capabilities(causal, newKeyPadding, abilities);
  }

  /// With these abilities, too.
  public Capabilities with(Ability... added) {
    Set<Ability> all = EnumSet.noneOf(Ability.class);
    all.addAll(abilities);
    all.addAll(Arrays.asList(added));
    return new Capabilities(causal, keyPadding, all);
  }

  /// Without these abilities.
  public Capabilities without(Ability... removed) {
    Set<Ability> rest = EnumSet.noneOf(Ability.class);
    rest.addAll(abilities);
    Arrays.asList(removed).forEach(rest::remove);
    return new Capabilities(causal, keyPadding, rest);
  }

  /// Whether an ability is among them.
  public boolean can(Ability ability) {
    return abilities.contains(ability);
  }

  /// Whether nq may differ from nk.
  public boolean crossAttention() {
    return can(Ability.CROSS_ATTENTION);
  }

  /// Whether several query heads may share a key/value head.
  public boolean groupedQueries() {
    return can(Ability.GROUPED_QUERIES);
  }

  /// Whether dv may differ from d.
  public boolean valueDim() {
    return can(Ability.VALUE_DIM);
  }

  /// Whether keys may be wider or narrower than queries.
  public boolean keyDim() {
    return can(Ability.KEY_DIM);
  }

  /// Whether it opens a [DecodeSession].
  public boolean decoding() {
    return can(Ability.DECODING);
  }

  /// Whether it has a backward pass.
  public boolean gradients() {
    return can(Ability.GRADIENTS);
  }

  /// Whether output rows at padded positions are zero (otherwise computed).
  public boolean zeroesPaddedQueries() {
    return can(Ability.ZEROES_PADDED_QUERIES);
  }

  /// Whether one batch entry's or head's result is independent of the others.
  public boolean batchIndependent() {
    return !can(Ability.MIXES_BATCH);
  }

  /// With or without different query and key lengths.
  public Capabilities crossAttention(boolean can) {
    return set(Ability.CROSS_ATTENTION, can);
  }

  /// With or without shared key/value heads.
  public Capabilities groupedQueries(boolean can) {
    return set(Ability.GROUPED_QUERIES, can);
  }

  /// With or without a value width of its own.
  public Capabilities valueDim(boolean can) {
    return set(Ability.VALUE_DIM, can);
  }

  /// With or without a key width of its own.
  public Capabilities keyDim(boolean can) {
    return set(Ability.KEY_DIM, can);
  }

  /// With or without decoding sessions.
  public Capabilities decoding(boolean can) {
    return set(Ability.DECODING, can);
  }

  /// With or without a backward pass.
  public Capabilities gradients(boolean can) {
    return set(Ability.GRADIENTS, can);
  }

  /// Output rows at padded positions are zero (true) or computed like all others (false).
  public Capabilities zeroesPaddedQueries(boolean zeroes) {
    return set(Ability.ZEROES_PADDED_QUERIES, zeroes);
  }

  /// Whether results of different batch entries and heads are independent.
  public Capabilities batchIndependent(boolean independent) {
    return set(Ability.MIXES_BATCH, !independent);
  }

  private Capabilities set(Ability ability, boolean can) {
    return can ? with(ability) : without(ability);
  }
}
