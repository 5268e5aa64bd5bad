// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.store.Cached;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Team;
import dev.crossover.models.graph.Value;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// A mechanism's decoding session as one operation; the session is the state. Where a policy drops
/// positions of its cache, a prompt goes through [PromptStep] first.
final class MechanismStep extends Operation implements Decoding.State {
  private final MechanismNode.Builder builder;
  private final DecodeSession session;
  private final Decoding decoding;
  private final @Nullable PromptStep prompt;
  private Tensors given = Tensors.NONE;
  private Tensor out = Tensor.zeros(0);

  /// @param shape sizes of one token
  MechanismStep(
      Graph graph,
      Value out,
      MechanismNode.Builder builder,
      List<Value> inputs,
      AttentionShape shape,
      Decoding decoding) {
    super(graph, out, inputs);
    this.builder = builder;
    this.decoding = decoding;
    int longest = decoding.longest();
    session = builder.mechanism().decode(shape.withSeqLens(longest, longest), graph.threads());
    prompt =
        builder.mechanism() instanceof Cached cached && cached.cache().policy() != null
            ? new PromptStep(cached.core(), shape, builder.names(), graph.threads())
            : null;
    decoding.keep(this);
  }

  @Override
  protected Reach reach() {
    return Reach.WHOLE;
  }

  @Override
  protected void bind() {
    given = builder.tensors(inputs());
    out = output().tensor(false);
  }

  @Override
  protected void forward(Team team) {
    if (prompt == null || decoding.position() >= decoding.prompt()) {
      session.step(given, out);
    } else {
      prompt.step(given, out, decoding.position(), decoding.prompt(), session);
    }
  }

  @Override
  public void advance() {
    // the session has advanced already
  }

  @Override
  public void reset() {
    session.reset();
  }

  @Override
  public long bytes() {
    boolean reading = prompt != null && decoding.position() < decoding.prompt();
    return reading ? Objects.requireNonNull(prompt).stateBytes() : session.stateBytes();
  }
}
