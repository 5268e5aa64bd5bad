// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CompressedSession;

/// Decoding of [Mla] over a compressed cache: of [c ; t], which is the key of all heads and whose
/// first part is their value, or, in the naive form, of every head's key and value.
///
/// Policies see one key head with the weights of all query heads in the absorbed form, and each
/// head's own in the naive one, so that the forms keep different positions.
final class MlaCompressed extends CompressedSession {
  private final Kernels kernels = Kernels.get();
  private final MlaRows rows;
  private final boolean absorbed;
  private final int r;
  private final int dr;
  private final int dn;
  private final int dv = shape.valueDim();
  private final float[] latent;

  MlaCompressed(Mla mla, AttentionShape shape, int threads, CacheOptions cache) {
    super(
        mla,
        shape,
        mla.inner(shape, isAbsorbed(mla)),
        isAbsorbed(mla),
        mla.scaleFor(shape),
        Form.DOT_PRODUCT,
        cache,
        threads);
    absorbed = isAbsorbed(mla);
    rows = new MlaRows(new Scratch(), mla, shape);
    r = mla.rank(shape);
    dr = mla.rotated(shape);
    dn = mla.unrotated(shape);
    latent = new float[r + dr];
  }

  private static boolean isAbsorbed(Mla mla) {
    return mla.attnImpl() != Mla.Form.NAIVE;
  }

  @Override
  protected void accept(int t, int tokens) {
    rows.bind(inputs());
  }

  /// [W_kᵀ q ; R q] or [q ; R q] of every head.
  @Override
  protected void queries(int t, int tokens, int position, float[] to) {
    int width = cached.headDim();
    for (int p = 0; p < shape.problems(); p++) {
      int from = (p * tokens + t) * (dn + dr);
      int at = p * width;
      if (absorbed) {
        int up = p % shape.numHeads() * dn * r;
        kernels.multiply(
            1, r, dn, input("q"), from, dn + dr, input("key_up"), up, r, to, at, width, false);
      } else {
        System.arraycopy(input("q"), from, to, at, dn);
      }
      rows.rotate(input("q"), from + dn, position, to, at + width - dr);
    }
  }

  @Override
  protected void keys(int t, int tokens, int position, float[] toKeys, float[] toValues) {
    for (int b = 0; b < shape.batchSize(); b++) {
      if (absorbed) {
        rows.key(b * tokens + t, position, toKeys, b * (r + dr));
        continue;
      }
      rows.key(b * tokens + t, position, latent, 0);
      for (int h = 0; h < shape.numHeads(); h++) {
        int p = b * shape.numHeads() + h;
        int key = p * (dn + dr);
        kernels.dotRows(dn, r, input("key_up"), h * dn * r, r, latent, 0, toKeys, key);
        System.arraycopy(latent, r, toKeys, key + dn, dr);
        kernels.dotRows(dv, r, input("value_up"), h * dv * r, r, latent, 0, toValues, p * dv);
      }
    }
  }

  /// W_v of what the heads read of the latents.
  @Override
  protected void answer(float[] read, float[] output) {
    if (!absorbed) {
      super.answer(read, output);
      return;
    }
    for (int p = 0; p < shape.problems(); p++) {
      int up = p % shape.numHeads() * dv * r;
      kernels.dotRows(dv, r, input("value_up"), up, r, read, p * r, output, p * dv);
    }
  }
}
