// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.tensor.Tensor;

/// The steps of [Luna] on given rows.
final class LunaPlan extends LunaHeads {
  private final int l;
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();

  LunaPlan(Luna luna, PlanRequest request) {
    super(
        request,
        luna.activation(),
        luna.packLength(),
        request.shape().numHeads(),
        request.shape().headDim(),
        request.shape().valueDim(),
        request.shape().valueDim());
    l = luna.packLength();
  }

  @Override
  protected void compute(Tensor output) {
    runHeads();
  }

  @Override
  protected void begin(LunaChunk chunk, int batch, int h) {
    chunk.begin(input("pack"), (batch * shape.numHeads() + h) * l * d, d);
  }

  @Override
  protected void takeTokens(LunaChunk chunk, int batch, int h, int from, int tokens) {
    int key = shape.keyOffset(batch, h) + from * d;
    int value = shape.valueOffset(batch, h) + from * dv;
    System.arraycopy(input("k"), key, chunk.key, 0, tokens * d);
    System.arraycopy(input("pack_keys"), key, chunk.packKey, 0, tokens * d);
    System.arraycopy(input("v"), value, chunk.value, 0, tokens * dv);
  }

  @Override
  protected void takeQueries(LunaChunk chunk, int batch, int h, int first, int count) {
    int query = shape.queryOffset(batch, h) + first * d;
    System.arraycopy(input("q"), query, chunk.query, 0, count * d);
  }

  @Override
  protected int outputAt(int batch, int h, int i) {
    return shape.outputOffset(batch, h) + i * dv;
  }
}
