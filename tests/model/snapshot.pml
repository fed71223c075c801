/* cyto -- snapshot.pml: cells of N workers read as of one consistent cut (snapshot.hpp).
 *
 * A worker commits turns. Each takes in what some other worker has committed, or nothing, gets a
 * stamp above all that, and changes the worker's cell (two versions: marked, value, tag), or does
 * not; the store of the commit word is the turn. The query chooses a bound, the largest commit word
 * of the workers still to be read or the bound before if that is less, reads as of it all those
 * that have reached it, and goes on with the rest. It gives up where a version is gone.
 * Asserted: with each turn of the cut all that it depends on is in it; each value is what the last
 * turn in the cut has left; all that was committed when the query began is in it.
 * One step left out each, a HOLE each:
 *   -DNOFALL   the later bounds are of the commit words as they were seen at first
 *   -DRISE     a bound may be above the one before
 *   -DEARLY    a worker is read before it has reached the bound, as far as it is
 *   -DNOVALID  the version's tag is not read again
 * Run:  spin -a snapshot.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m2000000
 * Bounds: -DN=3 workers, -DTURNS=2 turns each, -DTOTAL=3 of all (EARLY needs 4).
 */
#ifndef TURNS
#define TURNS 2
#endif
#ifndef TOTAL
#define TOTAL 3
#endif
#ifndef N
#define N 3
#endif
#define STAGED 255

typedef Cell { byte tag[2]; byte val[2] };
typedef Hist { byte st[TURNS+1]; byte cell[TURNS+1]; byte dep[(TURNS+1)*N] };
Cell c[N];
byte commit[N];
Hist h[N];                 /* ghost: of each turn its stamp, the cell after it, its past */
byte turns[N];             /* ghost                                                     */
byte total;
bool fin;

proctype W(byte me) {
  byte s, j, i, n, spare;
  bool changes;
end_w:
  do
  :: atomic { turns[me] < TURNS && total < TOTAL && !fin ->
       total++;
       n = turns[me] + 1;
       if :: j = (me + 1) % N :: j = (me + N - 1) % N :: j = me fi;
       s = (commit[j] > commit[me] -> commit[j] : commit[me]) + 1;
       i = 0;
       do :: i < N ->
             h[me].dep[n*N+i] = h[me].dep[(n-1)*N+i];
             if :: h[j].dep[turns[j]*N+i] > h[me].dep[n*N+i] ->
                     h[me].dep[n*N+i] = h[j].dep[turns[j]*N+i]
                :: else fi;
             i++
          :: else -> break od;
       h[me].dep[n*N+me] = s; h[me].st[n] = s; h[me].cell[n] = h[me].cell[n-1];
       spare = (c[me].tag[0] == STAGED || (c[me].tag[1] != STAGED && c[me].tag[1] > c[me].tag[0])
                -> 0 : 1);
       if :: changes = 1 :: changes = 0 fi }
     /* A marked version is not looked at, and a tag above the commit word is no version's: to mark
        and to write, and to seal and to commit, are one step each here. */
     if :: changes -> atomic { c[me].tag[spare] = STAGED; c[me].val[spare] = n }
        :: else fi;
     atomic { commit[me] = s; turns[me] = n;
       if :: changes -> c[me].tag[spare] = s; h[me].cell[n] = n :: else fi;
       s = 0; j = 0; i = 0; n = 0; spare = 0; changes = 0 }
  od
}

proctype Query() {
  byte bound, newest, i, n, left, at, tag, val, k[N], start[N];
  bool todo[N];
#ifdef NOFALL
  byte first[N];
#endif
  atomic { bound = STAGED-1; left = N;
    do :: i < N -> todo[i] = 1; start[i] = commit[i]; i++ :: else -> break od }
  do
  :: left > 0 ->
     i = 0; newest = 0;
     do :: i < N ->
           atomic {
             if :: todo[i] ->
#ifdef NOFALL
                   if :: left == N -> first[i] = commit[i] :: else fi;
                   newest = (first[i] > newest -> first[i] : newest)
#else
                   newest = (commit[i] > newest -> commit[i] : newest)
#endif
                :: else fi;
             i++ }
        :: else -> break od;
#ifdef RISE
     bound = newest;
#else
     bound = (newest < bound -> newest : bound);
#endif
     i = 0;
     do :: i < N ->
           atomic {
#ifdef EARLY
             if :: todo[i] -> k[i] = (commit[i] < bound -> commit[i] : bound)
#else
             if :: todo[i] && commit[i] >= bound -> k[i] = bound
#endif
                :: else -> i++; goto next
             fi }
           tag = c[i].tag[0];
           atomic { at = c[i].tag[1];
             if :: tag <= k[i] && (at > k[i] || tag >= at) -> at = 0
                :: else -> if :: at <= k[i] -> at = 1 :: else -> goto done fi
             fi }
           atomic { tag = c[i].tag[at]; if :: tag > k[i] -> goto done :: else fi }
           val = c[i].val[at];
#ifndef NOVALID
           if :: c[i].tag[at] != tag -> goto done :: else fi;
#endif
           atomic { n = turns[i];
             do :: h[i].st[n] > k[i] -> n-- :: else -> break od;
             assert(val == h[i].cell[n]);
             todo[i] = 0; left--; i++; n = 0; val = 0; tag = 0; at = 0 }
next:      skip
        :: else -> break od
  :: else -> break
  od;
  atomic { i = 0;
    do :: i < N ->
          assert(k[i] >= start[i]);
          n = turns[i];
          do :: h[i].st[n] > k[i] -> n-- :: else -> break od;
          at = 0;
          do :: at < N -> assert(h[i].dep[n*N+at] <= k[at]); at++ :: else -> break od;
          i++
       :: else -> break od }
done: fin = 1
}

init { atomic {
  byte i;
  do :: i < N -> c[i].tag[1] = STAGED; i++ :: else -> break od;
  i = 0;
  do :: i < N -> run W(i); i++ :: else -> break od;
  run Query() } }
