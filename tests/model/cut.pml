/* cyto -- cut.pml: a consistent cut over the cells of two workers for queries.
 *
 * Workers 0 and 1 commit turns; each turn writes the worker's cell (SLOTS slots,
 * tag first, then the value) and may take in what the other has committed.  The
 * cell's value is the number of turns of the other that are in its past.  A cut
 * (k0,k1) is consistent if val0(k0) <= k1 and val1(k1) <= k0.
 * The query runs METHOD:
 *   1  reads the two commit words once, 0 then 1                          HOLE
 *   2  once, but the downstream worker first: holds for one-way traffic,
 *      HOLE with -DCYCLE (traffic both ways)
 *   3  double collect: again until two rounds agree; then the cells by the tag
 *      rule: holds, but may repeat while workers commit
 *   4  a marker message to both in one commit; a worker that delivers it copies
 *      its cell into the answer: holds with causal delivery (smallest stamp,
 *      second look), never repeats;  -DNOLOOK without the second look: HOLE
 * Also:  -DNOVALID  the cell's tag is not read again: HOLE
 *        -DSLOTS=2|3|4  a read fails only if SLOTS-1 turns or more were committed
 *                  while it ran (asserted);  -DNOTAG relies on commit alone:
 *                  holds if commit grew by SLOTS-2 at most, -DNOTAG=1 one more: HOLE
 * Run:  spin -a -DMETHOD=3 -DCYCLE cut.pml
 *       gcc -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=6000 -o pan pan.c && ./pan -m2000000
 * Bounds: -DTURNS=4 turns a worker (3 with -DCYCLE).
 */
#ifndef METHOD
#define METHOD 3
#endif
#ifndef TURNS
#define TURNS 4
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#define INV 255

typedef Cell { byte tag[SLOTS]; byte val[SLOTS] };
Cell c[2];
byte commit[2];
typedef Hist { byte v[TURNS+2]; byte st[TURNS+2] };
Hist h[2];                 /* ghost: committed value and stamp of each turn      */
byte qc, qstamp;           /* METHOD 4: the query's commit word, marker stamp    */
byte ans[2], answered[2];  /* METHOD 4: value and version the workers copied     */
byte fin;

proctype W(byte me) {
  byte t, seen, k, m, clk, s, from;
end_w:
  do
  :: atomic { commit[me] < TURNS && !fin ->
       t = commit[me]+1; from = seen; s = 0;
#ifndef CYCLE
       if :: me == 1 -> k = commit[0] :: else -> k = 0 fi;
#else
       if :: k = commit[1-me] :: k = seen fi;
#endif
       if :: k > seen -> from = k; s = h[1-me].st[k] :: else fi };
#if METHOD == 4
#ifndef NOLOOK
     m = qc;                                   /* second look: after k was seen */
#endif
     if :: m && !answered[me] && (from == seen || qstamp <= s) ->
           /* deliver the marker in a turn of its own: the cell does not change */
           atomic { answered[me] = commit[me]+1; ans[me] = seen;
             clk = (qstamp > clk -> qstamp : clk); m = 0; goto next }
        :: else fi;
#ifdef NOLOOK
     m = qc;
#endif
#endif
     c[me].tag[t%SLOTS] = t;
     c[me].val[t%SLOTS] = from;
     d_step { clk = (s > clk -> s : clk)+1; seen = from;
       h[me].v[t] = seen; h[me].st[t] = clk; commit[me] = t }
next: atomic { k = 0; s = 0; from = 0; t = 0 }
#if METHOD == 4
  :: commit[me] == TURNS && qc && !answered[me] ->
     d_step { answered[me] = commit[me]+1; ans[me] = seen }
#endif
  od
}

/* newest slot of worker w with tag <= kk */
#define FIND(w,kk) \
  i = 0; b = INV; s = 0; \
  do :: i < SLOTS -> \
        atomic { a = c[w].tag[i]; \
          if :: a <= kk && (b == INV || a > b) -> b = a; s = i :: else fi; i++ } \
     :: else -> break od
#define READ(w,kk,v) \
  c0 = commit[w]; \
  FIND(w,kk); \
  if :: b == INV -> assert(commit[w] >= kk+SLOTS-1); goto again :: else fi; \
  v = c[w].val[s]; \
  CHECK(w,kk)
#ifdef NOVALID
#define CHECK(w,kk) skip
#else
#ifdef NOTAG
#define CHECK(w,kk) if :: commit[w] > kk+SLOTS-2+NOTAG -> goto again :: else fi
#else
#define CHECK(w,kk) atomic { \
  if :: c[w].tag[s] != b -> assert(commit[w] >= kk+SLOTS-1); goto again :: else fi }
#endif
#endif

proctype Query() {
  byte k0, k1, v0, v1, a, b, s, i, c0;
#if METHOD == 4
  if :: qstamp = 1 :: qstamp = 3 fi;
  qc = 1;                                      /* one store sends both markers */
  atomic { answered[0] && answered[1] -> k0 = answered[0]-1; k1 = answered[1]-1 }
  assert(ans[0] == h[0].v[k0] && ans[1] == h[1].v[k1]);
  assert(ans[0] <= k1 && ans[1] <= k0);
  goto done;
#endif
again:
#if METHOD == 2
  k1 = commit[1]; k0 = commit[0];
#else
  k0 = commit[0]; k1 = commit[1];
#endif
#if METHOD == 3
  if :: commit[0] != k0 -> goto again :: else fi;
  if :: commit[1] != k1 -> goto again :: else fi;
#endif
  READ(0,k0,v0); READ(1,k1,v1);
  assert(v0 == h[0].v[k0] && v1 == h[1].v[k1]);
  assert(v0 <= k1 && v1 <= k0);
done: fin = 1
}

init { atomic {
  byte i = 1;
  do :: i < SLOTS -> c[0].tag[i] = INV; c[1].tag[i] = INV; i++ :: else -> break od;
  run W(0); run W(1); run Query() } }
