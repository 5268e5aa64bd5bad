// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Team;
import dev.crossover.models.graph.Value;
import java.util.List;

/// A mechanism's decoding session as one operation; the session is the state.
final class MechanismStep extends Operation implements Decoding.State {
  private final MechanismNode.Builder builder;
  private final DecodeSession session;
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
    int longest = decoding.longest();
    session = builder.mechanism().decode(shape.withSeqLens(longest, longest), graph.threads());
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
    session.step(given, out);
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
    return session.stateBytes();
  }
}
